// Projects rows by a weight matrix: y = x W, for queries, keys and values of learned scores and
// whole layers.
#pragma once

#include <cstdint>
#include <span>

#include "attention/executor.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// W [in][out] in the order in which products read it (packed, untimed): panels of 64 columns, each
/// [in][64], the last one padded with zeros. Widths that are no whole vectors stay row-major, as
/// oneDNN takes them.
class PackedWeights {
 public:
  static constexpr std::int64_t kPanel = 64;

  PackedWeights() = default;
  /// `weights` is row-major.
  PackedWeights(const float* weights, std::int64_t in, std::int64_t out);

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  /// Whether rows of y are whole vectors.
  bool packed() const { return out_ % 16 == 0; }
  /// W, row-major, where it is not packed.
  const float* row_major() const { return data_.data(); }
  /// Row k of the panel of columns from `column` on, a multiple of kPanel.
  const float* row(std::int64_t column, std::int64_t k) const {
    return data_.data() + column * in_ + k * kPanel;
  }
  /// Where the last panel ends; panels and their rows follow each other.
  const float* end() const { return data_.data() + data_.size(); }

 private:
  std::int64_t in_ = 0, out_ = 0;
  FloatBuffer data_;
};

/// to[b][h][n] = from[b][h][n] W for every row n of every head: in = from.shape[3] and out =
/// to.shape[3].
struct RowProjection {
  ConstTensorView from;
  TensorView to;
  const PackedWeights& weights;
  /// [B], or empty: rows at and beyond a batch row's length are neither read nor written.
  std::span<const std::int64_t> lengths;
};

/// Does all projections in one parallel loop over blocks of rows.
void project_rows(std::span<const RowProjection> projections, Executor& executor);

/// FLOPs of y = x W for every row that `lengths` leaves; they count no padding.
double projection_flops(const RowProjection& projection);

}  // namespace attnbench::kernels
