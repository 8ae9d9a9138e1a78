// What a problem does to logits between the product and the softmax: soft cap, then ALiBi's bias;
// and the sink, which joins the softmax's sum. Everything in base 2, as the tiled engine counts.
#pragma once

#include <cstdint>
#include <vector>

#include "attention/problem.h"

namespace attnbench::kernels {

/// The logit of query i and key j, head h: s <- softcap tanh(s / softcap), then
/// s <- s - slopes[h] |i + diagonal - j|.
struct LogitTerms {
  float softcap = 0;          ///< 0: none.
  std::vector<float> slopes;  ///< [Hq]; empty: none.
  std::vector<float> sink;    ///< [Hq]; empty: none.
  std::int64_t diagonal = 0;

  explicit LogitTerms(const Problem& problem);
  /// Whether logits change.
  bool shape_logits() const { return softcap > 0 || !slopes.empty(); }
  bool any() const { return shape_logits() || !sink.empty(); }
  /// This, or null when there is nothing to do: what tiles ask.
  const LogitTerms* if_any() const { return any() ? this : nullptr; }
  /// exp and friends per computed pair beside those of the softmax: the soft cap's tanh.
  double exps_per_pair() const { return softcap > 0 ? 1 : 0; }
};

}  // namespace attnbench::kernels
