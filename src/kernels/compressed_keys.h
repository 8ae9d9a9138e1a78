// Projects keys and values along the sequence: K'[r][d] = sum over j of E[r][j] K[j][d].
#pragma once

#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// A projection matrix [heads, rank, keys], heads 1 (shared) or the number of key-value heads.
struct SequenceProjection {
  const float* data = nullptr;
  std::int64_t heads = 1;
  std::int64_t rank = 0;
  std::int64_t keys = 0;

  const float* row(std::int64_t head, std::int64_t r) const {
    return data + ((heads == 1 ? 0 : head) * rank + r) * keys;
  }
};

/// Projects `from` [B, Hkv, Nk, d] to `to` [B, Hkv, rank, d] (dense, bhnd). Keys at and beyond a
/// batch row's key length are not read. Products by oneDNN, shared out over heads and blocks of the
/// rank.
struct ProjectionCall {
  const Problem& problem;
  const SequenceProjection& projection;
  ConstTensorView from;
  TensorView to;
};
void project_sequences(const ProjectionCall& keys, const ProjectionCall& values,
                       Executor& executor);

}  // namespace attnbench::kernels
