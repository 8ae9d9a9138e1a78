// Attention by positive feature maps: O_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j),
// evaluated without the Nq x Nk weights through the state S = sum_j phi(k_j) v_j^T [m, Dv] and
// z = sum_j phi(k_j) [m] (Katharopoulos et al. 2020, arXiv 2006.16236, equations 4-12).
//
// Feature maps here project first: u = omega x' with x' = sqrt(scale) x, then
//   exponential: phi_f = exp(u_f - |x'|^2 / 2)   (FAVOR+, Choromanski et al. 2021, lemma 1)
//   rectified:   phi_f = max(0, u_f) + 1e-3
// Factors common to a query's features cancel in the quotient. For the exponential map every query
// is divided by its largest term, and every feature by its largest key so far, c_f (the query's
// features take exp(c_f) back): z_f >= 1 then, so no quotient can be 0/0, whatever the norms, and
// nothing is added to keep it away from zero. c_f rises as keys arrive; S_f and z_f shrink with it.
#pragma once

#include <cstdint>
#include <memory>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// Queries and keys that are handled together: one mask word, 4 AVX-512 vectors.
constexpr std::int64_t kFeatureChunk = 64;

enum class FeatureMap { exponential, rectified };

/// A problem with its feature map. `omega` is [features][dim_qk], row-major.
struct FeatureCall {
  const Problem& problem;
  FeatureMap map = FeatureMap::exponential;
  const float* omega = nullptr;
  std::int64_t features = 0;
};

void feature_attention(const FeatureCall& call, const Inputs& inputs, TensorView output,
                       Workspace& workspace, Executor& executor);

/// What it takes and executes, for cost models. `omega` is not needed.
struct FeatureWork {
  double flops = 0;
  double exps = 0;
  std::size_t workspace_bytes = 0;
};
FeatureWork feature_attention_work(const FeatureCall& call, int threads);

}  // namespace attnbench::kernels
