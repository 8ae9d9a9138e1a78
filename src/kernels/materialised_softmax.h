// Attention with the score matrix in memory: S = scale Q K^T, P = softmax(S) by rows and in place,
// O = P V.
//
// The matrix is kept in panels of 64 queries, transposed as the tiled engine's blocks of scores
// are: panel[key][query], one after the other; the last one, of at most 8 queries, by rows. A panel
// is written by the first product, whose blocks leave their maxima behind while they are in the
// first-level cache; then, from the last block to the first, which is the order in which caches
// still have them, each becomes weights and is multiplied with its values: one pass for the
// softmax.
#pragma once

#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/logit_terms.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// Computes one panel of a head, whose scores go to its job's `matrix`. Its products ask for what
/// the next block of either pass reads and writes, through the job's `upcoming` (null: they ask for
/// nothing).
void run_panel(TileJob& job);

/// Softmax attention under the problem's masks. Blocks of 64 queries and keys in which no pair is
/// allowed are not computed. `terms` and the mask's values are applied to the score matrix in
/// place. The workspace holds one Nq x Nk matrix per head in flight, and a tile's queries and
/// outputs per thread. Few queries of several heads that share their keys are one panel.
void materialised_softmax(const Problem& problem, double scale, const LogitTerms& terms,
                          const Inputs& inputs, TensorView output, Workspace& workspace,
                          Executor& executor);

std::size_t materialised_softmax_workspace_bytes(const Problem& problem, int threads);

/// What is executed: exponentials are one per computed pair, and one per row with a sink or of a
/// panel of few queries.
TileWork materialised_softmax_work(const Problem& problem, int threads);

}  // namespace attnbench::kernels
