#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tiled_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "kernels/column_softmax-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr std::ptrdiff_t kLanes = kLaneStride;

/// A tile's buffers: columns are query lanes.
struct TileBuffers : SoftmaxColumns {
  float* q;    // [D][64], scaled by scale * log2(e)
  float* acc;  // [Dv][64]
};

TileBuffers lay_out(const TileJob& job) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  TileBuffers t{};
  t.q = job.scratch;
  t.scores = t.q + job.dim_qk * kLanes;
  t.acc = t.scores + kKeyBlock * kLanes;
  t.maximum = t.acc + job.dim_v * kLanes;
  t.sum = t.maximum + kLanes;
  t.factor = t.sum + kLanes;
  t.columns = (job.queries.lanes + lanes - 1) / lanes * lanes;
  return t;
}

/// Soft cap and bias of one block of scores.
void shape_block(const TileJob& job, const TileBuffers& t, const LaneTerms& lanes,
                 const KeyBlock& block) {
  float positions[kKeyBlock];
  if (!job.terms->slopes.empty()) key_positions(job, block, positions);
  shape_tile(*job.terms, lanes, job.queries.lanes, positions, block.end - block.begin, t.columns,
             t.scores);
}

/// Scores, softmax and weighted values of one block.
void key_block(const TileJob& job, const TileBuffers& t, const LaneTerms* lanes,
               const KeyBlock& block, bool first, Upcoming* upcoming) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  const std::int64_t begin = block.begin;
  const std::ptrdiff_t keys = block.end - begin;
  gemm<ALayout::row_major>(keys, t.columns, job.dim_qk, source.k + begin * source.k_stride,
                           source.k_stride, t.q, kLanes, t.scores, kLanes, Old::overwrite, nullptr,
                           upcoming);
  if (lanes != nullptr) shape_block(job, t, *lanes, block);
  if (job.modifier != nullptr) modify_block(job, block, t.scores);
  if (block.masked) {
    std::uint64_t mask[kKeyBlock];
    block_mask(*job.pattern, job.queries, *job.runs, block, mask);
    softmax_columns<true>(t, keys, mask);
  } else {
    softmax_columns<false>(t, keys);
  }
  gemm<ALayout::col_major>(job.dim_v, t.columns, keys, source.v + begin * source.v_stride,
                           source.v_stride, t.scores, kLanes, t.acc, kLanes,
                           first ? Old::overwrite : Old::rescale, t.factor, upcoming);
  count_ops(keys * job.queries.lanes * (job.dim_qk + job.dim_v),
            keys * job.queries.lanes + job.queries.lanes);
}

/// The state of rows that have seen nothing, or the sink alone.
void start_state(const TileJob& job, const TileBuffers& t) {
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
void join_states(const TileJob& job, const TileBuffers& t, EarlierRows& earlier) {
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
void store_result(const TileJob& job, const TileBuffers& t) {
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
  if (job.resume) {
    merge_transposed<true>(t.acc, kLanes, t.factor, earlier.factor, lanes, job.dim_v, job.out_rows);
  } else {
    unpack_transposed(t.acc, kLanes, t.factor, lanes, job.dim_v, job.out_rows);
  }
}

/// Tiles of at most so many lanes do too little for each row of keys and values for hardware
/// prefetching to keep up. Where the rows are far and many, they ask for the next block's while
/// they compute one.
constexpr std::ptrdiff_t kFewColumns = 32;
constexpr std::int64_t kManyKeys = std::int64_t{8} * kKeyBlock;
/// With AVX2, full tiles that read more than this ask as well: the rows of a block arrive during a
/// quarter of its products, those of the first columns, and beyond the share of the last-level
/// cache that one process gets they arrive late. AVX-512 reads them during all of its products.
constexpr std::int64_t kFarRowBytes = std::int64_t{6} << 20;
constexpr bool kFullTilesAsk = HWY_TARGET > HWY_AVX3;

bool asks_for_blocks(const TileJob& job, std::ptrdiff_t columns) {
  if (!job.far) return false;
  std::int64_t keys = 0;
  for (const KeyRun& run : *job.runs) keys += run.end - run.begin;
  if (columns <= kFewColumns) return keys > kManyKeys;
  return kFullTilesAsk &&
         keys * (job.dim_qk + job.dim_v) * static_cast<std::int64_t>(sizeof(float)) > kFarRowBytes;
}

/// Asks for the rows of `next` during the products of `now`.
void ask_for(const TileJob& job, const KeyBlock& next, const KeyBlock& now, std::ptrdiff_t columns,
             Upcoming& upcoming) {
  upcoming.clear();
  const SourceRows& source = job.sources[static_cast<std::size_t>(next.source)];
  const std::int64_t keys = next.end - next.begin;
  upcoming.add_rows(source.k + next.begin * source.k_stride, source.k_stride, keys, job.dim_qk);
  upcoming.add_rows(source.v + next.begin * source.v_stride, source.v_stride, keys, job.dim_v);
  upcoming.spread_over((now.end - now.begin + job.dim_v) / kGemmRows * gemm_column_groups(columns),
                       Upcoming::Takers::all_columns);
}

void run_tile_target(TileJob& job) {
  const TileBuffers t = lay_out(job);
  const int lanes = job.queries.lanes;
  pack_transposed(job.q_rows, lanes, t.columns, job.dim_qk,
                  static_cast<float>(job.scale * std::numbers::log2e), t.q, kLanes);
  start_state(job, t);
  std::optional<LaneTerms> lane_terms;
  if (job.terms != nullptr && job.terms->shape_logits()) {
    lane_terms.emplace(*job.terms, job.queries);
  }
  const LaneTerms* shaped = lane_terms ? &*lane_terms : nullptr;
  list_runs(job);
  const bool asks = asks_for_blocks(job, t.columns);
  Upcoming next_block;
  bool first = true;
  BlockCursor blocks(*job.runs);
  KeyBlock block, next;
  for (bool more = blocks.next(block); more; block = next, first = false) {
    more = blocks.next(next);
    if (asks && more) ask_for(job, next, block, t.columns, next_block);
    key_block(job, t, shaped, block, first, asks && more ? &next_block : job.upcoming);
  }
  if (first) std::fill_n(t.acc, job.dim_v * kLanes, 0.0F);
  store_result(job, t);
}

}  // namespace

void run_tile_entry(TileJob& job) { run_tile_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(run_tile_entry);
}

void run_tile(TileJob& job) {
  if (job.queries.lanes <= kNarrowLanes) return run_narrow_tile(job);
  HWY_DYNAMIC_DISPATCH(run_tile_entry)(job);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
