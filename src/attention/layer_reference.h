// A multi-head attention layer in float64, from the rows that it projects: for definitions of
// variants that are whole layers.
#pragma once

#include <cstdint>
#include <vector>

#include "attention/score_terms.h"
#include "attention/variant.h"

namespace attnbench {

/// Rows [B, h, N, D] with their heads side by side: X, and those that keys and values are from.
struct LayerRows {
  ConstTensorView x;
  ConstTensorView x_k;
  ConstTensorView x_v;
};

/// Q = X Wq, K = X' Wk, V = X'' Wv cut into heads, and attention on them as the problem has it:
/// with its masks, positions of Q and K, soft cap and sink.
class LayerReference {
 public:
  /// `inner` is the attention within the layer; `aux` has Wq, Wk and Wv and must outlive this.
  LayerReference(Problem inner, const LayerRows& rows, const AuxSet& aux);

  /// The heads' outputs of one query, side by side: [Hq Dv].
  std::vector<double> context(std::int64_t batch, std::int64_t query);

 private:
  std::int64_t kv_head(std::size_t head) const {
    return static_cast<std::int64_t>(head) / inner_.group();
  }
  std::vector<std::vector<double>> logits_of(std::int64_t batch, std::int64_t query);
  const std::vector<double>& placed_keys(std::int64_t batch, std::int64_t j);

  Problem inner_;
  LayerRows rows_;
  const AuxSet& aux_;
  RowPlacement placement_;
  std::int64_t batch_ = -1;
  std::vector<std::vector<double>> keys_;  // [Nk], empty until asked for.
};

}  // namespace attnbench
