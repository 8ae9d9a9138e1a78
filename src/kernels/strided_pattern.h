// The two factorised patterns of Child, Gray, Radford, Sutskever 2019, "Generating Long Sequences
// with Sparse Transformers", arXiv 1904.10509, section 4, on the tiled engine.
#pragma once

#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// Strided: query at position p reads the band p - stride < j < p + stride and every stride-th key
/// (p - j) mod stride = 0; with causal only j <= p.
///
/// The second set is not block-shaped: 64 neighbouring queries have 64 different residues and share
/// no key. So it is computed in residue order: the queries of one residue class all read the keys
/// of that class, which are gathered into contiguous rows once per class. The band comes first, in
/// natural order, and leaves its running maximum and sum per query; the residue tiles resume there.
/// A key that is in both sets (j = p) counts in the band alone.
void strided_softmax(const Problem& problem, const LogitTerms& terms, std::int64_t stride,
                     const Inputs& inputs, TensorView output, Workspace& workspace,
                     Executor& executor);
std::size_t strided_softmax_workspace_bytes(const Problem& problem, std::int64_t stride,
                                            int threads);
TileWork strided_softmax_work(const Problem& problem, std::int64_t stride);

/// Fixed: query at position p reads the keys of its own block of `stride` keys and the last
/// `summary` keys of every block; with causal only j <= p. The summary keys are gathered once per
/// head, and are then plain columns for every query.
void fixed_softmax(const Problem& problem, const LogitTerms& terms, std::int64_t stride,
                   std::int64_t summary, const Inputs& inputs, TensorView output,
                   Workspace& workspace, Executor& executor);
std::size_t fixed_softmax_workspace_bytes(const Problem& problem, std::int64_t stride,
                                          std::int64_t summary, int threads);
TileWork fixed_softmax_work(const Problem& problem, std::int64_t stride, std::int64_t summary,
                            int threads);

}  // namespace attnbench::kernels
