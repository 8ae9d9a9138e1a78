// A positive quantity over the sequence length, between the measured lengths.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace attnbench::analyse {

/// Interpolates y over ascending, distinct x: piecewise linear, or by monotone cubics (Fritsch and
/// Carlson) with three or more points. Between measured points only.
class Curve {
 public:
  Curve(std::vector<double> x, std::vector<double> y);
  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& y() const { return y_; }
  /// x within [front, back].
  double linear(double x) const;
  double cubic(double x) const;
  /// linear + share * (cubic - linear).
  double mixed(double x, double share) const;

 private:
  std::size_t segment(double x) const;
  std::vector<double> x_, y_, slope_;
};

/// The largest x at which `curve` (as mixed with `share`) turns from negative to positive to stay
/// so up to its end; nothing when it does not end positive or is nowhere negative. A value of
/// exactly 0 counts as positive.
std::optional<double> last_rise(const Curve& curve, double share);

}  // namespace attnbench::analyse
