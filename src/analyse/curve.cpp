#include "analyse/curve.h"

#include <algorithm>
#include <cmath>

namespace attnbench::analyse {
namespace {

/// Slope at an end of a monotone cubic: three points, kept from overshooting.
double end_slope(double gap, double next_gap, double slope, double next_slope) {
  const double three = ((2 * gap + next_gap) * slope - gap * next_slope) / (gap + next_gap);
  if (three * slope <= 0) return 0;
  if (slope * next_slope <= 0 && std::abs(three) > 3 * std::abs(slope)) return 3 * slope;
  return three;
}

std::vector<double> monotone_slopes(const std::vector<double>& x, const std::vector<double>& y) {
  const std::size_t n = x.size();
  if (n < 3) return {};
  std::vector<double> gap, rise, slope(n, 0);
  for (std::size_t i = 0; i + 1 < n; ++i) {
    gap.push_back(x[i + 1] - x[i]);
    rise.push_back((y[i + 1] - y[i]) / gap[i]);
  }
  for (std::size_t i = 1; i + 1 < n; ++i) {
    if (rise[i - 1] * rise[i] <= 0) continue;
    const double left = 2 * gap[i] + gap[i - 1], right = gap[i] + 2 * gap[i - 1];
    slope[i] = (left + right) / (left / rise[i - 1] + right / rise[i]);
  }
  slope[0] = end_slope(gap[0], gap[1], rise[0], rise[1]);
  slope[n - 1] = end_slope(gap[n - 2], gap[n - 3], rise[n - 2], rise[n - 3]);
  return slope;
}

}  // namespace

Curve::Curve(std::vector<double> x, std::vector<double> y)
    : x_(std::move(x)), y_(std::move(y)), slope_(monotone_slopes(x_, y_)) {}

std::size_t Curve::segment(double x) const {
  const auto above = std::upper_bound(x_.begin(), x_.end(), x);
  const auto index = static_cast<std::size_t>(std::distance(x_.begin(), above));
  return std::clamp<std::size_t>(index, 1, x_.size() - 1) - 1;
}

double Curve::linear(double x) const {
  if (x_.size() == 1) return y_[0];
  const std::size_t i = segment(x);
  const double t = (x - x_[i]) / (x_[i + 1] - x_[i]);
  return y_[i] + t * (y_[i + 1] - y_[i]);
}

double Curve::cubic(double x) const {
  if (slope_.empty()) return linear(x);
  const std::size_t i = segment(x);
  const double gap = x_[i + 1] - x_[i];
  const double t = (x - x_[i]) / gap, s = 1 - t;
  return y_[i] * (1 + 2 * t) * s * s + slope_[i] * gap * t * s * s +
         y_[i + 1] * t * t * (1 + 2 * s) - slope_[i + 1] * gap * t * t * s;
}

double Curve::mixed(double x, double share) const {
  const double straight = linear(x);
  return straight + share * (cubic(x) - straight);
}

std::optional<double> last_rise(const Curve& curve, double share) {
  const std::vector<double>&x = curve.x(), &y = curve.y();
  if (x.empty() || y.back() < 0) return std::nullopt;
  std::size_t i = y.size();
  while (i > 0 && y[i - 1] >= 0) --i;
  if (i == 0) return std::nullopt;
  double below = x[i - 1], above = x[i];
  for (int step = 0; step < 40; ++step) {
    const double middle = 0.5 * (below + above);
    (curve.mixed(middle, share) < 0 ? below : above) = middle;
  }
  return 0.5 * (below + above);
}

}  // namespace attnbench::analyse
