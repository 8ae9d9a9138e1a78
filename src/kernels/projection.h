// Projects rows by a weight matrix: y = x W, for queries, keys and values of learned scores and
// whole layers.
#pragma once

#include <cstdint>
#include <span>

#include "attention/executor.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// to[b][h][n] = from[b][h][n] W for every row n of every head. `weights` is [in][out], row-major,
/// with in = from.shape[3] and out = to.shape[3].
struct RowProjection {
  ConstTensorView from;
  TensorView to;
  const float* weights = nullptr;
  /// [B], or empty: rows at and beyond a batch row's length are neither read nor written.
  std::span<const std::int64_t> lengths;
};

/// Does all projections in one parallel loop over blocks of rows; products by oneDNN.
void project_rows(std::span<const RowProjection> projections, Executor& executor);

/// FLOPs of a projection.
double projection_flops(const RowProjection& projection);

}  // namespace attnbench::kernels
