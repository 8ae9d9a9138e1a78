#include "analyse/holm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attnbench::analyse {

std::vector<HolmDecision> holm(std::span<const double> p_values, double alpha) {
  std::vector<double> p(p_values.begin(), p_values.end());
  for (double& value : p) value = std::isnan(value) ? 1.0 : std::clamp(value, 0.0, 1.0);
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });

  std::vector<HolmDecision> decisions(p.size());
  double largest = 0;
  bool rejecting = true;
  double level = alpha;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto remaining = static_cast<double>(p.size() - k);
    HolmDecision& decision = decisions[order[k]];
    largest = std::max(largest, std::min(1.0, remaining * p[order[k]]));
    decision.adjusted_p = largest;
    // The division, not the product, decides: it is what a bound at this level is computed from.
    if (rejecting) level = alpha / remaining;
    rejecting = rejecting && p[order[k]] <= level;
    decision.rejected = rejecting;
    decision.level = level;
  }
  return decisions;
}

}  // namespace attnbench::analyse
