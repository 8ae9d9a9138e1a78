// Which growth law describes a series best, by the small-sample Akaike criterion.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "analyse/growth_law.h"
#include "analyse/power_fit.h"

namespace attnbench::analyse {

struct RankedLaw {
  GrowthLaw law;
  double aicc = 0;    ///< Infinite when there are too few points for its parameters.
  double weight = 0;  ///< Akaike weight among the laws that were ranked.
  double c = 0;       ///< y = c + a * law, scaled so that the law is 1 at the longest x.
  double a = 0;
  double residual_rms = 0;  ///< Of log y, unweighted.
};

/// Fits c + a * law for each law on log y with unknown variance and ranks them, best first. The law
/// 1 has one coefficient, the others two. Residuals below `resolution` (relative) count as
/// `resolution`: what cannot be told apart is not ranked. A law that ranks below 1 and whose
/// growing part stays under a tenth of its intercept is the law 1 in other words, and is left out.
/// Fewer than three points: empty.
std::vector<RankedLaw> rank_laws(std::span<const FitPoint> points, std::span<const GrowthLaw> laws,
                                 double resolution = 1e-6);

}  // namespace attnbench::analyse
