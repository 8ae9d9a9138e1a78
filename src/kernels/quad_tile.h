// Tiles of queries that read few keys each, of which a vector of 16 queries would mostly compute
// pairs that the mask forbids. Internal to kernels/.
#pragma once

#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// The same function as run_tile, four lanes at a time, for tiles that reads_in_quads(): vectors
/// lie along the head dimension, so that queries are read where they are, and four queries visit
/// three keys more than one. Needs no more scratch than run_tile. The runs are listed.
void run_quad_tile(const TileJob& job);

}  // namespace attnbench::kernels
