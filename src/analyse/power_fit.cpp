#include "analyse/power_fit.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <limits>

namespace attnbench::analyse {
namespace {

using Matrix = std::vector<std::vector<double>>;

/// Points closer than this in log x are repeats.
constexpr double kTie = 1e-9;

double weight_of(const FitPoint& point) {
  return 1 / (point.log_sd * point.log_sd + kMisfitFloor * kMisfitFloor);
}

/// log y = level + log(ratio + basis), ratio = c / a >= 0.
class InterceptProfile {
 public:
  InterceptProfile(std::span<const FitPoint> points, std::span<const double> basis)
      : points_(points), basis_(basis) {
    for (const FitPoint& point : points) {
      weights_.push_back(weight_of(point));
      total_weight_ += weights_.back();
    }
  }

  /// The best level at this ratio: a weighted mean.
  double level(double ratio) const {
    double sum = 0;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      sum += weights_[i] * (std::log(points_[i].y) - std::log(ratio + basis_[i]));
    }
    return sum / total_weight_;
  }

  double rss(double ratio) const {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const double log_a = std::log(points_[i].y / (ratio + basis_[i]));
      sum += weights_[i] * log_a;
      squares += weights_[i] * log_a * log_a;
    }
    // Cancellation costs digits only where the fit is exact; residuals are recomputed there.
    const double direct = squares - sum * sum / total_weight_;
    if (direct > 1e-6 * squares) return direct;
    const double mean = sum / total_weight_;
    double centred = 0;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const double residual = std::log(points_[i].y / (ratio + basis_[i])) - mean;
      centred += weights_[i] * residual * residual;
    }
    return centred;
  }

  /// The ratio >= 0 with the smallest rss.
  double best_ratio() const {
    const auto [least, most] = std::ranges::minmax(basis_);
    const double low = std::log(least * 1e-4), high = std::log(most * 1e3);
    constexpr int kSteps = 18;
    const double step = (high - low) / kSteps;
    int best = -1;
    double best_rss = rss(0);
    for (int i = 0; i <= kSteps; ++i) {
      const double value = rss(std::exp(low + i * step));
      if (value < best_rss) {
        best_rss = value;
        best = i;
      }
    }
    if (best < 0) return 0;
    const auto [log_ratio, value] =
        boost::math::tools::brent_find_minima([this](double x) { return rss(std::exp(x)); },
                                              low + (best - 1) * step, low + (best + 1) * step, 24);
    return value < rss(0) ? std::exp(log_ratio) : 0;
  }

 private:
  std::span<const FitPoint> points_;
  std::span<const double> basis_;
  std::vector<double> weights_;
  double total_weight_ = 0;
};

BasisFit finish(std::span<const FitPoint> points, std::span<const double> basis, double ratio) {
  const InterceptProfile profile(points, basis);
  const double level = profile.level(ratio);
  BasisFit fit;
  fit.a = std::exp(level);
  fit.c = ratio * fit.a;
  for (std::size_t i = 0; i < points.size(); ++i) {
    fit.residuals.push_back(std::log(points[i].y) - level - std::log(ratio + basis[i]));
    fit.weighted_rss += weight_of(points[i]) * fit.residuals[i] * fit.residuals[i];
  }
  return fit;
}

/// The inverse of a small symmetric matrix; false when it is singular.
bool invert(Matrix& m) {
  const std::size_t k = m.size();
  Matrix inverse(k, std::vector<double>(k, 0));
  for (std::size_t i = 0; i < k; ++i) inverse[i][i] = 1;
  for (std::size_t column = 0; column < k; ++column) {
    std::size_t pivot = column;
    for (std::size_t row = column + 1; row < k; ++row) {
      if (std::abs(m[row][column]) > std::abs(m[pivot][column])) pivot = row;
    }
    if (!(std::abs(m[pivot][column]) > 1e-12)) return false;
    std::swap(m[pivot], m[column]);
    std::swap(inverse[pivot], inverse[column]);
    const double scale = 1 / m[column][column];
    for (std::size_t j = 0; j < k; ++j) {
      m[column][j] *= scale;
      inverse[column][j] *= scale;
    }
    for (std::size_t row = 0; row < k; ++row) {
      if (row == column) continue;
      const double factor = m[row][column];
      for (std::size_t j = 0; j < k; ++j) {
        m[row][j] -= factor * m[column][j];
        inverse[row][j] -= factor * inverse[column][j];
      }
    }
  }
  m = std::move(inverse);
  return true;
}

/// The fit over p, in u = log(x / largest x).
class PowerProfile {
 public:
  PowerProfile(std::span<const FitPoint> points, bool intercept)
      : points_(points), intercept_(intercept) {
    for (const FitPoint& point : points) u_.push_back(std::log(point.x / points.back().x));
  }

  std::vector<double> basis(double p) const {
    std::vector<double> values;
    for (const double u : u_) values.push_back(std::exp(p * u));
    return values;
  }
  double ratio(double p) const {
    return intercept_ ? InterceptProfile(points_, basis(p)).best_ratio() : 0;
  }
  double rss(double p) const {
    const std::vector<double> b = basis(p);
    const InterceptProfile profile(points_, b);
    return profile.rss(intercept_ ? profile.best_ratio() : 0);
  }

  /// The best c and a for this p.
  PowerCurve curve(double p) const {
    const BasisFit fit = finish(points_, basis(p), ratio(p));
    return {.c = fit.c, .a = fit.a * std::pow(points_.back().x, -p), .p = p};
  }

  double best_p() const {
    constexpr double kStep = 0.125;
    double best = kLeastExponent, best_rss = std::numeric_limits<double>::infinity();
    for (double p = kLeastExponent; p <= kMostExponent; p += kStep) {
      const double value = rss(p);
      if (value < best_rss) {
        best_rss = value;
        best = p;
      }
    }
    return boost::math::tools::brent_find_minima([this](double p) { return rss(p); },
                                                 std::max(best - kStep, kLeastExponent),
                                                 std::min(best + kStep, kMostExponent), 26)
        .first;
  }

  /// How far above the minimum the interval of p reaches; nothing when no degree of freedom is
  /// left or the exponent cannot be told from the intercept.
  std::optional<double> threshold(double p, double ratio, const std::vector<double>& residuals,
                                  double confidence) const;

  /// The last p in this direction whose rss is within `limit`.
  double reach(double p, double limit, double direction) const {
    const double end = direction < 0 ? kLeastExponent : kMostExponent;
    double inside = p, step = 1e-4 * direction;
    double outside = p;
    while (outside == inside) {
      const double next = p + step;
      if ((end - next) * direction <= 0) {
        if (rss(end) <= limit) return end;
        outside = end;
      } else if (rss(next) <= limit) {
        inside = outside = next;
        step *= 2;
      } else {
        outside = next;
      }
    }
    for (int i = 0; i < 40 && std::abs(outside - inside) > 1e-6; ++i) {
      const double middle = 0.5 * (inside + outside);
      (rss(middle) <= limit ? inside : outside) = middle;
    }
    return outside;
  }

 private:
  /// Weighted Jacobian of the prediction: one row per point; the last column belongs to p.
  Matrix jacobian(double p, double ratio) const {
    Matrix rows;
    for (const double u : u_) {
      const double b = std::exp(p * u);
      std::vector<double> row{1};
      if (ratio > 0) row.push_back(ratio / (ratio + b));
      row.push_back(u * b / (ratio + b));
      rows.push_back(std::move(row));
    }
    return rows;
  }

  std::span<const FitPoint> points_;
  bool intercept_;
  std::vector<double> u_;
};

std::optional<double> PowerProfile::threshold(double p, double ratio,
                                              const std::vector<double>& residuals,
                                              double confidence) const {
  const Matrix j = jacobian(p, ratio);
  const std::size_t n = points_.size(), k = j[0].size();
  if (n <= k) return std::nullopt;
  Matrix normal(k, std::vector<double>(k, 0));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t r = 0; r < k; ++r) {
      for (std::size_t s = 0; s < k; ++s) normal[r][s] += weight_of(points_[i]) * j[i][r] * j[i][s];
    }
  }
  if (!invert(normal)) return std::nullopt;
  // gain[r][i]: how estimate r answers to point i. smooth = J * gain; what it leaves are residuals.
  Matrix gain(k, std::vector<double>(n, 0)), leave(n, std::vector<double>(n, 0));
  for (std::size_t r = 0; r < k; ++r) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t s = 0; s < k; ++s) gain[r][i] += normal[r][s] * j[i][s];
      gain[r][i] *= weight_of(points_[i]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    leave[i][i] = 1;
    for (std::size_t l = 0; l < n; ++l) {
      for (std::size_t r = 0; r < k; ++r) leave[i][l] -= j[i][r] * gain[r][l];
    }
  }
  const std::vector<double>& answer = gain[k - 1];
  const double unit_variance = normal[k - 1][k - 1];

  // Increments of the residuals per unit of log x: as found, as noise alone gives, and as a walk
  // of unit rate gives. A walk is a sum of independent steps, one per gap.
  double found = 0, by_noise = 0, by_walk = 0, walk_variance = 0, noise_variance = 0, rss = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double noise = points_[i].log_sd * points_[i].log_sd;
    noise_variance += answer[i] * answer[i] * noise;
    rss += weight_of(points_[i]) * residuals[i] * residuals[i];
    if (i + 1 == n) continue;
    const double gap = u_[i + 1] - u_[i];
    if (gap < kTie) continue;
    const double increment = residuals[i + 1] - residuals[i];
    found += increment * increment / gap;
    for (std::size_t l = 0; l < n; ++l) {
      const double moved = leave[i + 1][l] - leave[i][l];
      by_noise += moved * moved * points_[l].log_sd * points_[l].log_sd / gap;
    }
  }
  for (std::size_t step = 0; step + 1 < n; ++step) {
    const double variance = u_[step + 1] - u_[step];
    double on_p = 0;
    for (std::size_t l = step + 1; l < n; ++l) on_p += answer[l];
    walk_variance += on_p * on_p * variance;
    for (std::size_t i = 0; i + 1 < n; ++i) {
      if (u_[i + 1] - u_[i] < kTie) continue;
      double moved = 0;
      for (std::size_t l = step + 1; l < n; ++l) moved += leave[i + 1][l] - leave[i][l];
      by_walk += moved * moved * variance / (u_[i + 1] - u_[i]);
    }
  }
  const double rate = by_walk > 1e-12 ? std::max(0.0, found - by_noise) / by_walk : 0;
  const double tail = 0.5 * (1 + confidence);
  const double t = boost::math::quantile(
      boost::math::students_t_distribution<double>(static_cast<double>(n - k)), tail);
  const double z = boost::math::quantile(boost::math::normal_distribution<double>(), tail);
  const double white = t * t * rss / static_cast<double>(n - k);
  const double walk = (z * z * noise_variance + t * t * rate * walk_variance) / unit_variance;
  return std::max(white, walk);
}

}  // namespace

BasisFit fit_basis(std::span<const FitPoint> points, std::span<const double> basis) {
  return finish(points, basis, InterceptProfile(points, basis).best_ratio());
}

std::optional<PowerFit> fit_power(std::span<const FitPoint> points, PowerFitOptions options) {
  std::vector<FitPoint> sorted(points.begin(), points.end());
  std::ranges::stable_sort(sorted, {}, &FitPoint::x);
  std::size_t distinct = sorted.empty() ? 0 : 1;
  for (std::size_t i = 1; i < sorted.size(); ++i) distinct += sorted[i].x > sorted[i - 1].x;
  if (distinct < 2) return std::nullopt;

  const PowerProfile profile(sorted, options.intercept && distinct >= 4);
  PowerFit fit;
  fit.p = profile.best_p();
  const double ratio = profile.ratio(fit.p);
  const BasisFit at_best = finish(sorted, profile.basis(fit.p), ratio);
  const PowerCurve best = profile.curve(fit.p);
  fit.c = best.c;
  fit.a = best.a;
  fit.residuals = at_best.residuals;
  double squares = 0;
  for (const double r : fit.residuals) {
    squares += r * r;
    fit.residual_max = std::max(fit.residual_max, std::abs(r));
  }
  fit.residual_rms = std::sqrt(squares / static_cast<double>(sorted.size()));
  const auto threshold = profile.threshold(fit.p, ratio, fit.residuals, options.confidence);
  if (threshold) {
    const double limit = at_best.weighted_rss + *threshold;
    fit.ci_low = profile.reach(fit.p, limit, -1);
    fit.ci_high = profile.reach(fit.p, limit, 1);
    fit.at_low = profile.curve(*fit.ci_low);
    fit.at_high = profile.curve(*fit.ci_high);
  }
  return fit;
}

}  // namespace attnbench::analyse
