// Fits y = c + a x^p with c >= 0 and a > 0 on log y, and y = c + a b for a given basis b.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace attnbench::analyse {

/// One observation. x and y are positive.
struct FitPoint {
  double x = 1;       ///< A sequence length, or what a cost function says.
  double y = 1;       ///< Seconds or bytes.
  double log_sd = 0;  ///< Standard deviation of log y from its interval; 0 for exact numbers.
};

/// Relative misfit that no cost model is free of: an interval narrower than this gives its point no
/// more weight.
inline constexpr double kMisfitFloor = 0.02;

/// y = c + a * basis.
struct BasisFit {
  double c = 0;
  double a = 0;
  double weighted_rss = 0;  ///< Sum of weight * residual^2, weight = 1 / (log_sd^2 + floor^2).
  std::vector<double> residuals;  ///< log y - log fit, in the order of the points.
};

/// Least squares on log y over c >= 0 and a > 0, one positive basis value per point. At least one
/// point.
BasisFit fit_basis(std::span<const FitPoint> points, std::span<const double> basis);

/// y = c + a x^p for one p.
struct PowerCurve {
  double c = 0;
  double a = 0;
  double p = 0;
};

/// y = c + a x^p.
struct PowerFit {
  double c = 0;
  double a = 0;
  double p = 0;
  /// Interval of p that covers noise and lack of fit. Absent when nothing is left over to judge the
  /// fit by (two points).
  std::optional<double> ci_low, ci_high;
  /// The best curves whose exponent is the interval's lower and upper end; absent with it.
  std::optional<PowerCurve> at_low, at_high;
  double residual_rms = 0;  ///< Of log y.
  double residual_max = 0;
  std::vector<double> residuals;
};

struct PowerFitOptions {
  bool intercept = true;  ///< False: c = 0. Fewer than four distinct x imply it.
  double confidence = 0.95;
};

/// Exponents that are looked for; an interval that ends at one of them is open on that side.
inline constexpr double kLeastExponent = -2;
inline constexpr double kMostExponent = 6;

/// Nothing with fewer than two distinct x. Points are sorted by x.
///
/// The interval is a likelihood profile: the p at which the weighted sum of squares is at most
/// `threshold` above its minimum. The threshold is the larger of two: misfit that is independent
/// from point to point (its variance from the residuals, Student's t on the remaining degrees of
/// freedom), and the points' own noise plus misfit that walks along log x (steps between cache
/// levels), the walk's rate from the residuals' increments beyond noise.
std::optional<PowerFit> fit_power(std::span<const FitPoint> points, PowerFitOptions options = {});

}  // namespace attnbench::analyse
