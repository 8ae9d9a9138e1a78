// Projects keys and values along the sequence: K'[r][d] = sum over j of E[r][j] K[j][d].
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/tiled_softmax.h"

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

/// `from` [B, Hkv, Nk, d] is projected to `to` [B, Hkv, rank, d] (dense, bhnd). Keys at and beyond
/// a batch row's key length are not read.
struct ProjectionCall {
  const Problem& problem;
  const SequenceProjection& projection;
  ConstTensorView from;
  TensorView to;
};

/// Projects keys and values, by oneDNN in blocks of the rank, and computes `call`, whose only
/// source they are, head by head.
void compressed_softmax(const ProjectionCall& keys, const ProjectionCall& values,
                        const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor);
/// Workspace that it takes.
std::size_t compressed_softmax_workspace_bytes(const Problem& problem, int threads);

}  // namespace attnbench::kernels
