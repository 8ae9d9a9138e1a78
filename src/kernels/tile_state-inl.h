// A tile's buffers, the states of its rows and what it leaves, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_TILE_STATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_TILE_STATE_INL_H_
#undef ATTNBENCH_KERNELS_TILE_STATE_INL_H_
#else
#define ATTNBENCH_KERNELS_TILE_STATE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <numbers>

#include "kernels/column_softmax-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/op_count.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::ptrdiff_t kLanes = kLaneStride;

/// A tile's buffers: columns are query lanes.
struct TileBuffers : SoftmaxColumns {
  float* q;    // [D][64], scaled by scale * log2(e)
  float* acc;  // [Dv][64], or by rows, [64][Dv]
};

HWY_INLINE TileBuffers lay_out(const TileJob& job) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  TileBuffers t{};
  t.q = job.scratch;
  t.acc = t.q + job.dim_qk * kLanes;
  t.maximum = t.acc + job.dim_v * kLanes;
  t.sum = t.maximum + kLanes;
  t.factor = t.sum + kLanes;
  t.scores = t.factor + kLanes;
  t.columns = (job.queries.lanes + lanes - 1) / lanes * lanes;
  return t;
}

/// Soft cap and bias of one block of scores.
HWY_INLINE void shape_block(const TileJob& job, const TileBuffers& t, const LaneTerms& lanes,
                            const KeyBlock& block, const BlockRanges& ranges) {
  float positions[kMostBlockKeys];
  if (!job.terms->slopes.empty()) key_positions(job, block, positions);
  shape_in_ranges(ranges, *job.terms, lanes, job.queries.lanes, positions, t.columns, t.scores);
}

/// The state of rows that have seen nothing, or the sink alone.
HWY_INLINE void start_state(const TileJob& job, const SoftmaxColumns& t) {
  std::fill_n(t.maximum, kLanes, -std::numeric_limits<float>::infinity());
  std::fill_n(t.sum, kLanes, 0.0F);
  if (job.terms == nullptr || job.terms->sink.empty() || job.resume || !job.starts_rows) return;
  for (int lane = 0; lane < job.queries.lanes; ++lane) {
    t.maximum[lane] = job.terms->sink[static_cast<std::size_t>(job.queries.head[lane])];
    // A sink of -infinity is none.
    if (t.maximum[lane] > -std::numeric_limits<float>::infinity()) t.sum[lane] = 1;
  }
}

/// What rows held before a tile, and by what they shrink to its common maximum.
struct EarlierRows {
  HWY_ALIGN float maximum[kLanes];
  HWY_ALIGN float sum[kLanes];
  HWY_ALIGN float factor[kLanes];
};

/// Joins the states that rows had before the tile with the tile's, into maximum, sum and factor of
/// the tile; and what both sides of the output are to shrink by, into the factors.
HWY_INLINE void join_states(const TileJob& job, const TileBuffers& t, EarlierRows& earlier) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (std::ptrdiff_t lane = 0; lane < t.columns; ++lane) {
    const bool present = lane < job.queries.lanes;
    earlier.maximum[lane] = present ? job.states[lane]->maximum : 0;
    earlier.sum[lane] = present ? job.states[lane]->sum : 0;
  }
  for (std::ptrdiff_t at = 0; at < t.columns; at += lanes) {
    const auto before = hn::Load(d, earlier.maximum + at), mine = hn::Load(d, t.maximum + at);
    const auto maximum = hn::Max(before, mine);
    // Where neither has seen a key: (-inf) - (-inf) must not be formed.
    const auto shift = hn::IfThenZeroElse(hn::Eq(maximum, none), maximum);
    const auto shrink = exp2_nonpositive(d, hn::Sub(before, shift));
    const auto factor = exp2_nonpositive(d, hn::Sub(mine, shift));
    hn::Store(maximum, d, t.maximum + at);
    hn::Store(shrink, d, earlier.factor + at);
    hn::Store(factor, d, t.factor + at);
    hn::Store(
        hn::MulAdd(shrink, hn::Load(d, earlier.sum + at), hn::Mul(factor, hn::Load(d, t.sum + at))),
        d, t.sum + at);
  }
  count_ops(0, std::int64_t{2} * job.queries.lanes);
}

/// Writes the rows, or, with `resume`, adds to what they hold.
HWY_INLINE void store_result(const TileJob& job, const TileBuffers& t, bool by_rows) {
  const int lanes = job.queries.lanes;
  EarlierRows earlier;
  if (job.resume) {
    join_states(job, t, earlier);
  } else {
    std::fill_n(t.factor, lanes, 1.0F);
  }
  for (int lane = 0; lane < lanes; ++lane) {
    if (!job.finish) {
      *job.states[lane] = {t.maximum[lane], t.sum[lane]};
      continue;
    }
    const float weight = t.sum[lane] > 0 ? 1 / t.sum[lane] : 0;
    t.factor[lane] *= weight;
    if (job.resume) earlier.factor[lane] *= weight;
  }
  if (by_rows && job.resume) {
    merge_rows<true>(t.acc, t.factor, earlier.factor, lanes, job.dim_v, job.out_rows);
  } else if (by_rows) {
    merge_rows<false>(t.acc, t.factor, nullptr, lanes, job.dim_v, job.out_rows);
  } else if (job.resume) {
    merge_transposed<true>(t.acc, kLanes, t.factor, earlier.factor, lanes, job.dim_v, job.out_rows);
  } else {
    unpack_transposed(t.acc, kLanes, t.factor, lanes, job.dim_v, job.out_rows);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
