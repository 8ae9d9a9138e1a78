// Attention that chooses keys: the largest logit, one sampled from the softmax, or the k largest.
// Logits are computed a block of 64 keys and 64 query lanes at a time and are not kept.
#pragma once

#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// Segments of keys whose sums a sampling query keeps; its own segment's logits are computed again.
constexpr std::int64_t kSampleSegments = 64;

/// O_i = v_j with j the largest logit, the lowest index among equals. A row without a key is zero.
void argmax_attention(const Problem& problem, double scale, const Inputs& inputs, TensorView output,
                      Workspace& workspace, Executor& executor);

/// O_i = v_j with j the first key at which the cumulated softmax exceeds uniform[row]; `uniform` is
/// [B, Hq, Nq], values in [0, 1).
void sampled_attention(const Problem& problem, double scale, const float* uniform,
                       const Inputs& inputs, TensorView output, Workspace& workspace,
                       Executor& executor);

/// Softmax over the `count` largest logits, exactly that many where a query has as many keys; of
/// equal ones the lowest indices.
void topk_attention(const Problem& problem, double scale, std::int64_t count, const Inputs& inputs,
                    TensorView output, Workspace& workspace, Executor& executor);

/// What they take and execute, for cost models.
struct ChoiceWork {
  double flops = 0;
  double exps = 0;
  std::size_t workspace_bytes = 0;
};
ChoiceWork argmax_attention_work(const Problem& problem, int threads);
ChoiceWork sampled_attention_work(const Problem& problem, int threads);
ChoiceWork topk_attention_work(const Problem& problem, std::int64_t count, int threads);

}  // namespace attnbench::kernels
