// Tiles with so few queries that lanes of queries would leave the vectors mostly empty: decoding,
// one query at a time. Internal to kernels/.
#pragma once

#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// Tiles of at most this many queries run here.
constexpr int kNarrowLanes = 8;

/// Blocks of keys that a tile of so many queries (1 to kNarrowLanes) handles in one step: their
/// scores, the softmax of these, their values. Memory is not read during the softmax; a query or
/// two do so little for each row that they would wait for it to start again after every block, and
/// more of them would lose more in the first-level cache than they gain.
constexpr int narrow_group_blocks(int lanes) { return lanes <= 2 ? 8 : 1; }

/// Floats from one query's scores of `keys` keys to the next query's where all of them are kept.
constexpr std::int64_t narrow_matrix_stride(std::int64_t keys) {
  return (keys + 15) / 16 * 16 + 16;
}

/// The same function as run_tile, with vectors along the head dimension: K and V are streamed once,
/// row by row, for all queries of the tile, which makes it as fast as memory. Needs no more scratch
/// than run_tile. With a `matrix` all keys are one step.
void run_narrow_tile(TileJob& job);

}  // namespace attnbench::kernels
