// Blocks of logits of a tile of queries, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_SCORED_SOFTMAX_CHOOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_SCORED_SOFTMAX_CHOOSE_INL_H_
#undef ATTNBENCH_KERNELS_SCORED_SOFTMAX_CHOOSE_INL_H_
#else
#define ATTNBENCH_KERNELS_SCORED_SOFTMAX_CHOOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "kernels/masked_pattern.h"
#include "kernels/op_count.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_choose.h"
#include "kernels/scored_softmax_terms-inl.h"
#include "kernels/tile_sequence.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Calls block(begin, keys, masked) after the logits of each block of keys stand in `scores`; keys
/// that a lane may not read are -infinity, and only in masked blocks. Blocks are at multiples of
/// kKeyBlock; those that a mask from a file forbids altogether are left out. A block's products ask
/// for the next one's keys where a core's own cache may not keep those of the tile.
template <class Block>
HWY_INLINE void for_each_block(const ChoiceTile& job, const TileTerms& terms, float* packed,
                               float* scores, Block block) {
  const TileQueries& queries = job.tile.queries;
  const std::int64_t dim = job.problem.dim_qk;
  const std::ptrdiff_t columns = padded_lanes(queries.lanes);
  pack_transposed(job.tile.q_rows, queries.lanes, columns, dim, job.scale, packed, kLaneStride);
  const std::int64_t common = lane_keys(job, 0), total = lane_keys(job, queries.lanes - 1);
  std::optional<TileMask> file;
  if (job.shaping.mask != nullptr) file.emplace(*job.shaping.mask, queries);
  const bool ask = total * dim * static_cast<std::int64_t>(sizeof(float)) > kNearHeadBytes / 2;
  Upcoming upcoming;
  for (std::int64_t begin = 0; begin < total; begin += kKeyBlock) {
    const std::int64_t end = std::min<std::int64_t>(begin + kKeyBlock, total);
    bool masked = end > common;
    if (file) {
      const AttentionMask::Block found = file->block(begin / kKeyBlock);
      if (found == AttentionMask::Block::none) continue;
      masked = masked || found == AttentionMask::Block::mixed;
    }
    if (ask) {
      upcoming.clear();
      upcoming.add_rows(job.k + end * job.k_stride, job.k_stride,
                        std::min<std::int64_t>(kKeyBlock, total - end), dim);
      upcoming.spread_over(static_cast<double>((end - begin) * columns * dim));
    }
    gemm<ALayout::row_major>(end - begin, columns, dim, job.k + begin * job.k_stride, job.k_stride,
                             packed, kLaneStride, scores, kLaneStride, Old::overwrite, nullptr,
                             ask ? &upcoming : nullptr);
    terms.shape(begin, end - begin, columns, scores);
    if (masked) {
      std::uint64_t mask[kKeyBlock];
      job.pattern.mask(queries, 0, begin, end, mask);
      apply_mask(scores, end - begin, mask, columns);
    }
    block(begin, end - begin, masked);
    count_ops((end - begin) * queries.lanes * dim, 0);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
