#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/compressed_keys.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/compressed_keys.h"
#include "kernels/gemm-inl.h"
#include "kernels/op_count.h"
#include "kernels/upcoming.h"

#ifndef ATTNBENCH_KERNELS_COMPRESSED_KEYS_ONCE_
#define ATTNBENCH_KERNELS_COMPRESSED_KEYS_ONCE_
namespace attnbench::kernels {
namespace {

/// Rows [begin, begin + rows) of the rank of one head.
struct RankRows {
  std::int64_t batch;
  std::int64_t head;
  std::int64_t begin;
  std::int64_t rows;
};

/// What a thread projects with.
struct ProjectionScratch {
  Upcoming ahead;
  // Of a block of keys and one of values, for dimensions that are no whole vectors.
  float* rows[2] = {nullptr, nullptr};
};

/// Rows of the rank that are computed one after the other for K and then for V, which may share
/// them.
constexpr std::int64_t kRankStep = 64;

/// Keys of a block whose rows stay in the first-level cache from one register tile to the next.
std::int64_t keys_at_once(std::span<const ProjectionCall> calls) {
  constexpr std::int64_t kFloats = 8192;
  std::int64_t widest = 1;
  for (const ProjectionCall& call : calls) {
    widest = std::max(widest, projected_stride(call.from.shape[3]));
  }
  return std::clamp(kFloats / widest, std::int64_t{32}, kProjectedKeys);
}

}  // namespace
}  // namespace attnbench::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Rows of a block of keys as whole vectors, where they are or copied.
struct KeyRows {
  const float* data;
  std::ptrdiff_t stride;
};
KeyRows whole_rows(const ProjectionCall& call, const RankRows& r, std::int64_t from,
                   std::int64_t count, float* copy) {
  const std::int64_t dim = call.from.shape[3], padded = projected_stride(dim);
  const float* rows = call.from.row(r.batch, r.head, from);
  if (dim == padded) return {rows, call.from.stride[2]};
  for (std::int64_t j = 0; j < count; ++j) {
    std::copy_n(rows + j * call.from.stride[2], dim, copy + j * padded);
    std::fill(copy + j * padded + dim, copy + (j + 1) * padded, 0.0F);
  }
  return {copy, padded};
}

}  // namespace

/// Some rows of the rank of the projections of one head.
void project_keys_target(std::span<const ProjectionCall> calls, const RankRows& r,
                         ProjectionScratch& scratch) {
  const std::int64_t keys = calls[0].problem.key_length(r.batch);
  const std::int64_t step = keys_at_once(calls);
  for (std::int64_t from = 0; from < keys; from += kProjectedKeys) {
    const std::int64_t count = std::min(kProjectedKeys, keys - from);
    const std::int64_t next = from + kProjectedKeys;
    double work = 0;
    scratch.ahead.clear();
    KeyRows x[2];
    for (std::size_t c = 0; c < calls.size(); ++c) {
      const ProjectionCall& call = calls[c];
      x[c] = whole_rows(call, r, from, count, scratch.rows[c]);
      work += static_cast<double>(count * r.rows * projected_stride(call.from.shape[3]));
      if (next >= keys) continue;
      const std::int64_t upcoming = std::min(kProjectedKeys, keys - next);
      if (c == 0 || &call.projection != &calls[0].projection) {
        scratch.ahead.add(call.projection.row(r.head, next, r.begin), r.rows * upcoming);
      }
      scratch.ahead.add_rows(call.from.row(r.batch, r.head, next), call.from.stride[2], upcoming,
                             call.from.shape[3]);
    }
    scratch.ahead.spread_over(work);
    for (std::int64_t part = 0; part < count; part += step) {
      for (std::int64_t at = 0; at < r.rows; at += kRankStep) {
        const std::int64_t rows = std::min(kRankStep, r.rows - at);
        for (std::size_t c = 0; c < calls.size(); ++c) {
          const ProjectionCall& call = calls[c];
          gemm<ALayout::row_major>(
              rows, projected_stride(call.from.shape[3]), std::min(step, count - part),
              call.projection.row(r.head, from, r.begin + at) + part, call.projection.stride(from),
              x[c].data + part * x[c].stride, x[c].stride,
              call.to.row(r.batch, r.head, r.begin + at), call.to.stride[2],
              from + part == 0 ? Old::overwrite : Old::accumulate, nullptr, &scratch.ahead);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/per_thread.h"
#include "kernels/shared_heads.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(project_keys_target);

/// Rows of the rank per task: keys and values are read once for all of them. Where there are fewer
/// heads than threads, two tasks per head keep two threads busy at the default rank.
std::int64_t rank_block(const Problem& p, int threads) {
  return p.batch * p.heads_kv >= threads ? 128 : 64;
}

/// Floats of a block of keys and of values that are copied, whose rows are no whole vectors.
std::size_t copied_floats(const Problem& p) {
  const std::int64_t k = projected_stride(p.dim_qk), v = projected_stride(p.dim_v);
  if (k == p.dim_qk && v == p.dim_v) return 0;
  return static_cast<std::size_t>(kProjectedKeys * (k + v));
}

void project_block(std::span<const ProjectionCall> calls, const RankRows& r,
                   ProjectionScratch& scratch) {
  const std::int64_t keys = calls[0].problem.key_length(r.batch);
  for (const ProjectionCall& call : calls) {
    const std::int64_t dim = call.from.shape[3];
    if (keys == 0) {
      std::fill_n(call.to.row(r.batch, r.head, r.begin), r.rows * projected_stride(dim), 0.0F);
    }
    count_ops(r.rows * dim * keys, 0);
  }
  HWY_DYNAMIC_DISPATCH(project_keys_target)(calls, r, scratch);
}

}  // namespace

BlockedProjection::BlockedProjection(const SequenceProjection& from)
    : heads_(from.heads),
      rank_(from.rank),
      keys_(from.keys),
      data_(static_cast<std::size_t>(from.heads * from.rank * from.keys)) {
  float* to = data_.data();
  for (std::int64_t head = 0; head < heads_; ++head) {
    for (std::int64_t begin = 0; begin < keys_; begin += kProjectedKeys) {
      for (std::int64_t r = 0; r < rank_; ++r) {
        to = std::copy_n(from.row(head, r) + begin, stride(begin), to);
      }
    }
  }
}

std::int64_t BlockedProjection::stride(std::int64_t begin) const {
  return std::min(kProjectedKeys, keys_ - begin);
}

void compressed_softmax(const ProjectionCall& keys, const ProjectionCall& values,
                        const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor) {
  const Problem& p = keys.problem;
  PerThread<TileSequence> sequences(executor.threads(), [&](int) {
    return TileSequence(
        workspace.take(tile_scratch_floats(call.problem.dim_qk, call.problem.dim_v)));
  });
  PerThread<ProjectionScratch> scratch(executor.threads());
  for (int slot = 0; slot < executor.threads() && copied_floats(p) > 0; ++slot) {
    float* rows = workspace.take(copied_floats(p));
    scratch[slot].rows[0] = rows;
    scratch[slot].rows[1] = rows + kProjectedKeys * projected_stride(p.dim_qk);
  }
  const HeadTiles tiles(call);
  const bool far = p.batch * p.heads_kv * head_bytes(call.problem) > kNearBytes;
  const std::int64_t rank = keys.projection.rank(), block = rank_block(p, executor.threads());
  const ProjectionCall both[] = {keys, values};
  share_heads<2>(p.batch * p.heads_kv, {(rank + block - 1) / block, tiles.count()}, executor,
                 [&](const HeadPiece& piece, int slot) {
                   if (piece.phase == 1) return tiles.run(piece, far, sequences[slot]);
                   const std::int64_t begin = piece.index * block;
                   project_block(both,
                                 {piece.head / p.heads_kv, piece.head % p.heads_kv, begin,
                                  std::min(block, rank - begin)},
                                 scratch[slot]);
                 });
}

std::size_t compressed_softmax_workspace_bytes(const Problem& problem, int threads) {
  const std::size_t copied = copied_floats(problem);
  return static_cast<std::size_t>(threads) *
         (workspace_take_bytes(tile_scratch_floats(problem.dim_qk, problem.dim_v)) +
          (copied > 0 ? workspace_take_bytes(copied) : 0));
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
