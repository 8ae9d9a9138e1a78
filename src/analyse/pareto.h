// Error against time: which variants are worth their time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyse/series.h"

namespace attnbench::analyse {

struct ParetoPoint {
  std::size_t series = 0;  ///< Index into the series.
  double time_s = 0;
  double error = 0;       ///< error_rel_l2: of an exact variant its rounding.
  bool own_mask = false;  ///< The error is against softmax attention under the variant's own mask.
  bool on_front = false;  ///< Nothing in the group is as good in both and better in one.
  /// The same among variants that answer for dense softmax attention (own_mask left out).
  bool on_dense_front = false;
};

/// Cases that answer the same question: one problem, input, length and thread count.
struct ParetoGroup {
  std::string problem, input;
  std::int64_t seq = 1;
  int threads = 1;
  std::vector<ParetoPoint> points;  ///< By time, fastest first.

  /// The fastest with error <= `error`; null when there is none.
  const ParetoPoint* fastest_within(double error) const;
};

/// Groups with at least one error figure.
std::vector<ParetoGroup> pareto_groups(const std::vector<Series>& series);

}  // namespace attnbench::analyse
