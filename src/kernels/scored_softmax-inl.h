// Online softmax over a tile of query lanes, for scores computed by the caller, compiled once per
// instruction set. Lanes are columns; scores are logits in base 2.

#if defined(ATTNBENCH_KERNELS_SCORED_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_SCORED_SOFTMAX_INL_H_
#undef ATTNBENCH_KERNELS_SCORED_SOFTMAX_INL_H_
#else
#define ATTNBENCH_KERNELS_SCORED_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/column_softmax-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/scored_softmax_tiles.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// A tile's state; every buffer has kLaneStride floats per row.
struct OnlineTile : SoftmaxColumns {
  float* acc;  // [Dv]
};

HWY_INLINE std::ptrdiff_t padded_lanes(int lanes) {
  const auto vector = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  return (lanes + vector - 1) / vector * vector;
}

/// The state of lanes that have seen no key.
HWY_INLINE void clear_state(const SoftmaxColumns& t) {
  std::fill_n(t.maximum, kLaneStride, -std::numeric_limits<float>::infinity());
  std::fill_n(t.sum, kLaneStride, 0.0F);
}

/// Lays a tile out from `scratch` on, (block_keys + Dv + 3) * 64 floats, and clears its state;
/// `acc` is left as it is.
HWY_INLINE OnlineTile start_tile(float* scratch, std::int64_t dim_v, int lanes,
                                 std::ptrdiff_t block_keys = kKeyBlock) {
  OnlineTile t{};
  t.scores = scratch;
  t.acc = t.scores + block_keys * kLaneStride;
  t.maximum = t.acc + dim_v * kLaneStride;
  t.sum = t.maximum + kLaneStride;
  t.factor = t.sum + kLaneStride;
  t.columns = padded_lanes(lanes);
  clear_state(t);
  return t;
}

/// Values of one (batch row, key-value head).
struct ValueRows {
  const float* v = nullptr;
  std::ptrdiff_t stride = 0;
  std::int64_t dim = 0;
};

/// Calls score(begin, keys) for every block of keys that the tile visits, which fills t.scores, and
/// adds the weighted values to t.acc; weigh(begin) is what softmax_columns() does to the weights of
/// the block that begins there. Products with values take steps of what is `upcoming`.
template <class Score, class Weigh>
HWY_INLINE void online_softmax(const TileQueries& queries, const KeyPattern& pattern,
                               std::vector<KeyRun>& runs, const ValueRows& values,
                               const OnlineTile& t, Score score, Weigh weigh,
                               Upcoming* upcoming = nullptr) {
  runs.clear();
  pattern.runs(queries, runs);
  Old old = Old::overwrite;
  BlockCursor blocks(runs);
  for (KeyBlock block; blocks.next(block);) {
    const std::ptrdiff_t keys = block.end - block.begin;
    score(block.begin, keys);
    if (block.masked) {
      std::uint64_t mask[kKeyBlock];
      block_mask(pattern, queries, runs, block, mask);
      softmax_columns<true>(t, keys, mask, weigh(block.begin));
    } else {
      softmax_columns<false>(t, keys, nullptr, weigh(block.begin));
    }
    gemm<ALayout::col_major>(values.dim, t.columns, keys, values.v + block.begin * values.stride,
                             values.stride, t.scores, kLaneStride, t.acc, kLaneStride, old,
                             t.factor, upcoming);
    old = Old::rescale;
  }
  if (old == Old::overwrite) std::fill_n(t.acc, values.dim * kLaneStride, 0.0F);
}

/// Divides by the sums and writes the output rows; a lane without a key gets zeros.
HWY_INLINE void finish_tile(const OnlineTile& t, const LaneTile& tile, const RangedOutput& out) {
  const int lanes = tile.queries.lanes;
  for (int lane = 0; lane < lanes; ++lane) {
    t.factor[lane] = t.sum[lane] > 0 ? 1 / t.sum[lane] : 0;
  }
  if (out.by_rows) {
    merge_rows<false>(out.acc, t.factor, nullptr, lanes, out.dim, tile.out_rows);
  } else {
    unpack_transposed(out.acc, kLaneStride, t.factor, lanes, out.dim, tile.out_rows);
  }
}
HWY_INLINE void finish_tile(const OnlineTile& t, const LaneTile& tile, std::int64_t dim_v) {
  finish_tile(t, tile, RangedOutput{t.acc, dim_v, false});
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
