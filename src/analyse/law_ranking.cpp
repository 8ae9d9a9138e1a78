#include "analyse/law_ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attnbench::analyse {
namespace {

/// The law at each point, 1 at the longest.
std::vector<double> basis_of(std::span<const FitPoint> points, const GrowthLaw& law) {
  double longest = 1;
  for (const FitPoint& point : points) longest = std::max(longest, point.x);
  std::vector<double> basis;
  for (const FitPoint& point : points) {
    basis.push_back(std::exp(law.log_value(point.x) - law.log_value(longest)));
  }
  return basis;
}

/// n ln(RSS/n) + 2 k + 2 k (k + 1) / (n - k - 1), where k counts the variance too.
double aicc(double mean_square, std::size_t points, std::size_t coefficients) {
  const auto n = static_cast<double>(points);
  const auto k = static_cast<double>(coefficients + 1);
  if (n - k - 1 <= 0) return std::numeric_limits<double>::infinity();
  return n * std::log(mean_square) + 2 * k + 2 * k * (k + 1) / (n - k - 1);
}

/// Takes out what says the same as law 1 with one coefficient more: their weights would be counted
/// against it.
void drop_vanishing(std::vector<RankedLaw>& ranked) {
  constexpr double kVanishing = 0.1;
  const auto constant =
      std::ranges::find_if(ranked, [](const RankedLaw& entry) { return entry.law.constant(); });
  if (constant == ranked.end()) return;
  const double limit = constant->aicc;
  std::erase_if(ranked, [&](const RankedLaw& entry) {
    return !entry.law.constant() && entry.aicc >= limit && entry.a < kVanishing * entry.c;
  });
}

}  // namespace

std::vector<RankedLaw> rank_laws(std::span<const FitPoint> points, std::span<const GrowthLaw> laws,
                                 double resolution) {
  std::vector<RankedLaw> ranked;
  if (points.size() < 3) return ranked;
  double total_weight = 0;
  for (const FitPoint& point : points) {
    total_weight += 1 / (point.log_sd * point.log_sd + kMisfitFloor * kMisfitFloor);
  }
  double best = std::numeric_limits<double>::infinity();
  for (const GrowthLaw& law : laws) {
    const BasisFit fit = fit_basis(points, basis_of(points, law));
    double squares = 0;
    for (const double r : fit.residuals) squares += r * r;
    const double mean_square = std::max(fit.weighted_rss / total_weight, resolution * resolution);
    RankedLaw entry{.law = law,
                    .aicc = aicc(mean_square, points.size(), law.constant() ? 1 : 2),
                    .weight = 0,
                    .c = fit.c,
                    .a = fit.a,
                    .residual_rms = std::sqrt(squares / static_cast<double>(points.size()))};
    best = std::min(best, entry.aicc);
    ranked.push_back(entry);
  }
  if (!std::isfinite(best)) return {};
  drop_vanishing(ranked);
  double total = 0;
  for (RankedLaw& entry : ranked) {
    entry.weight = std::exp(-0.5 * (entry.aicc - best));
    total += entry.weight;
  }
  for (RankedLaw& entry : ranked) entry.weight /= total;
  std::ranges::stable_sort(ranked, {}, &RankedLaw::aicc);
  return ranked;
}

}  // namespace attnbench::analyse
