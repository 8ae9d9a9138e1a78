// Whole tiles of the softmax engine, and how their time divides.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

namespace attnbench::bench {

/// A tile of 64 queries over `keys` keys at head dimension `dim`, in turns with its own products,
/// with packing its queries and with unpacking its output. What is left of the tile's time is the
/// softmax (maximum, exponential, sum, running state) and the bookkeeping of blocks.
void whole_tile(benchmark::State& state, std::ptrdiff_t dim, std::ptrdiff_t keys);

/// The softmax of one 64 x 64 block: a tile at the smallest head dimension, less its products and
/// packing, by block.
void softmax_block(benchmark::State& state);

}  // namespace attnbench::bench
