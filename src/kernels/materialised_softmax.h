// Attention with the score matrix in memory: scores = scale Q K^T, weights = softmax of each row in
// place, O = weights V. Products by oneDNN, on the calling thread, in blocks of rows.
#pragma once

#include <cstdint>
#include <limits>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/logit_terms.h"

namespace attnbench::kernels {

/// Rows of the score matrix that are computed, normalised and used together: their 128 x Nk floats
/// stay in the second-level cache up to Nk = 2048.
constexpr std::int64_t kScoreRows = 128;

/// Softmax attention under the problem's masks. Keys beyond the last one that a block of rows may
/// read are not computed. `terms` and the mask's values are applied to the score matrix in place.
/// The workspace holds one Nq x Nk matrix per head in flight.
void materialised_softmax(const Problem& problem, double scale, const LogitTerms& terms,
                          const Inputs& inputs, TensorView output, Workspace& workspace,
                          Executor& executor);

/// Heads in flight: as many as threads, or all there are.
std::int64_t heads_in_flight(const Problem& problem, int threads);

std::size_t materialised_softmax_workspace_bytes(const Problem& problem, int threads);

/// (query, key) pairs whose score is computed, over all heads.
double materialised_softmax_pairs(const Problem& problem);

/// exp and friends: one per pair that causal and key lengths allow, its tanh under a soft cap, and
/// one per row with a sink.
double materialised_softmax_exps(const Problem& problem);

/// Row i of a block: weights[0, keys) = exp(scores - max) over the first `allowed` keys, the rest
/// zero. Returns 1 / sum, or 0 when no key is allowed (or their scores are all -infinity). `scores`
/// are in base 2 (scaled by log2 e), and so is the `sink`, a logit that counts in the sum alone.
float softmax_row(float* scores, std::int64_t allowed, std::int64_t keys,
                  float sink = -std::numeric_limits<float>::infinity());

}  // namespace attnbench::kernels
