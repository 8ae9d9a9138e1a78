#include "analyse/gate_verdict.h"

#include <algorithm>

namespace attnbench::analyse {
namespace {

/// Linear interpolation between order statistics; `sorted` is not empty.
double quantile(const std::vector<double>& sorted, double fraction) {
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = position - static_cast<double>(below);
  return sorted[below] * (1 - part) + sorted[above] * part;
}

}  // namespace

std::string_view to_string(GateStage stage) {
  switch (stage) {
    case GateStage::screen:
      return "screen";
    case GateStage::confirm:
      return "confirm";
    case GateStage::extra:
      return "extra";
    case GateStage::done:
      break;
  }
  return "done";
}

double robust_spread(std::vector<double> values) {
  if (values.size() < 2) return 0;
  std::ranges::sort(values);
  return (quantile(values, 0.75) - quantile(values, 0.25)) / 1.349;
}

int gate_exit_code(const GateResult& result, const GateFacts& facts) {
  const auto any = [&](CellVerdict verdict) {
    return std::ranges::any_of(result.cells,
                               [&](const CellOutcome& cell) { return cell.verdict == verdict; });
  };
  if (result.aa.ran && !result.aa.as_expected) return 4;
  if (facts.lost_cells > 0 || any(CellVerdict::fail) || result.mean_failed) return 1;
  const bool unproven = !result.aa.ran || !result.positive.ran || !result.positive.as_expected;
  if (result.too_noisy || unproven || any(CellVerdict::inconclusive) ||
      any(CellVerdict::unconfirmed)) {
    return 3;
  }
  return 0;
}

}  // namespace attnbench::analyse
