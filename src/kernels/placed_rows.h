// Position encodings that change the rows of Q and K before any product: sinusoidal ones are added,
// rotary ones turn pairs. Copies of both are placed at the start of a call, inside the timed
// region.
#pragma once

#include <memory>

#include "attention/executor.h"
#include "attention/tensor.h"
#include "attention/variant.h"

namespace attnbench::kernels {

/// Applies a problem's position encoding to rows of Q and K. Its tables are made untimed.
class RowPlacer {
 public:
  /// Of a problem that places queries.
  explicit RowPlacer(const Problem& problem);
  ~RowPlacer();
  /// Q [B, Hq, Nq, D] at positions i + Nk - Nq, and K [B, Hkv, Nk, D] at j where the problem places
  /// keys. Rows may be placed where they are. Keys beyond a batch row's length are neither read nor
  /// written.
  void place(ConstTensorView q, TensorView placed_q, ConstTensorView k, TensorView placed_k,
             Executor& executor) const;

 private:
  struct Tables;
  std::unique_ptr<const Tables> tables_;
};

/// `inner`, on rows with the problem's position encoding applied: query i at position i + Nk - Nq,
/// key j at position j; keys beyond a batch row's length are neither read nor written. `inner`
/// itself when the problem places no rows. In decode mode K is a cache whose keys were placed as
/// they came: only Q changes.
std::unique_ptr<Plan> with_placed_rows(const Problem& problem, std::unique_ptr<Plan> inner);

/// FLOPs of placing: 3 D for each rotated row, D for each added one; 0 where none is placed.
double placed_rows_flops(const Problem& problem);

/// Adds them, and the copies that with_placed_rows makes.
void add_placed_rows_cost(const Problem& problem, Cost& cost);

}  // namespace attnbench::kernels
