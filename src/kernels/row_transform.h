// Transforms of single rows of Q and K that turn the dot product of the tiled engine into another
// score.
#pragma once

#include <cstdint>
#include <span>

#include "attention/executor.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// to[b][h][n] = from[b][h][n] / |from[b][h][n]|, a zero row stays zero. Lengths are taken of
/// values scaled by a power of two, so that neither huge nor denormal rows lose theirs.
struct RowNormalisation {
  ConstTensorView from;
  TensorView to;
  /// [B], or empty: rows at and beyond a batch row's length are neither read nor written.
  std::span<const std::int64_t> lengths;
};

/// Does all of them in one parallel loop over blocks of rows.
void normalise_rows(std::span<const RowNormalisation> tensors, Executor& executor);

}  // namespace attnbench::kernels
