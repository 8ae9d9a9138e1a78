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

/// Keys whose part of a projection is computed at a time.
constexpr std::int64_t kProjectedKeys = 128;

/// The same matrix in the order in which it is read: blocks of kProjectedKeys keys, the last one
/// shorter, each [rank][keys of the block]. Rows that are all keys long begin at multiples of a
/// power of two bytes, where a cache keeps few of them.
class BlockedProjection {
 public:
  explicit BlockedProjection(const SequenceProjection& from);
  std::int64_t rank() const { return rank_; }
  /// Numbers from one row of the block of key `begin` to the next.
  std::int64_t stride(std::int64_t begin) const;
  /// Row r of the block of keys from `begin` on, a multiple of kProjectedKeys.
  const float* row(std::int64_t head, std::int64_t begin, std::int64_t r) const {
    return data_.data() + (heads_ == 1 ? 0 : head) * rank_ * keys_ + begin * rank_ +
           r * stride(begin);
  }

 private:
  std::int64_t heads_, rank_, keys_;
  FloatBuffer data_;
};

/// `from` [B, Hkv, Nk, d] is projected to `to` [B, Hkv, rank, d], whose rows are
/// projected_stride(d) apart. Keys at and beyond a batch row's key length are not read.
struct ProjectionCall {
  const Problem& problem;
  const BlockedProjection& projection;
  ConstTensorView from;
  TensorView to;
};

/// Numbers from one projected row of `dim` numbers to the next: whole vectors.
constexpr std::int64_t projected_stride(std::int64_t dim) { return (dim + 15) / 16 * 16; }

/// Projects keys and values, in blocks of the rank, and computes `call`, whose only source they
/// are, head by head.
void compressed_softmax(const ProjectionCall& keys, const ProjectionCall& values,
                        const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor);
/// Workspace that it takes.
std::size_t compressed_softmax_workspace_bytes(const Problem& problem, int threads);

}  // namespace attnbench::kernels
