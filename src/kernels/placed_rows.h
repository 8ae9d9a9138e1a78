// Position encodings that change the rows of Q and K before any product: sinusoidal ones are added,
// rotary ones turn pairs. Copies of both are placed at the start of a call, inside the timed
// region.
#pragma once

#include <memory>

#include "attention/variant.h"

namespace attnbench::kernels {

/// `inner`, on rows with the problem's position encoding applied: query i at position i + Nk - Nq,
/// key j at position j; keys beyond a batch row's length are neither read nor written. `inner`
/// itself when the problem places no rows. In decode mode K is a cache whose keys were placed as
/// they came: only Q changes.
std::unique_ptr<Plan> with_placed_rows(const Problem& problem, std::unique_ptr<Plan> inner);

/// Adds what that costs: 3 D FLOP for each rotated row, D for each added one, and the copies.
void add_placed_rows_cost(const Problem& problem, Cost& cost);

}  // namespace attnbench::kernels
