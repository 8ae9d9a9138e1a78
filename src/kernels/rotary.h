// Rotary positions: turns pairs of a row by an angle that grows with its position: (i, i + D/2), or
// the neighbours (2i, 2i + 1).
//
//   (x_i, x_{i+D/2}) -> (x_i cos a - x_{i+D/2} sin a, x_i sin a + x_{i+D/2} cos a),
//   a = position * base^(-2i/D)
//
// Su et al. 2021, "RoFormer", arXiv 2104.09864, section 3.2.2 (neighbours); halves: GPT-NeoX.
#pragma once

#include <cstdint>

#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// cos and sin of consecutive positions, [count][dim / 2] each: untimed, they depend on no input.
class RotaryTable {
 public:
  RotaryTable() = default;
  /// Positions [first, first + count), which may be negative; `dim` is even.
  RotaryTable(std::int64_t dim, std::int64_t first, std::int64_t count, const Rope& rope = {});
  std::int64_t dim() const { return dim_; }
  bool interleaved() const { return interleaved_; }
  const float* cosine(std::int64_t position) const {
    return cosine_.data() + (position - first_) * (dim_ / 2);
  }
  const float* sine(std::int64_t position) const {
    return sine_.data() + (position - first_) * (dim_ / 2);
  }

 private:
  std::int64_t dim_ = 0;
  std::int64_t first_ = 0;
  bool interleaved_ = false;
  FloatBuffer cosine_, sine_;
};

/// Rotates one row of table.dim() numbers; `from` and `to` may be the same. 3 D FLOP.
void rotate_row(const RotaryTable& table, std::int64_t position, const float* from, float* to);

}  // namespace attnbench::kernels
