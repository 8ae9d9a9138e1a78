#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_window.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/op_count.h"
#include "kernels/quad_tile-inl.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_terms-inl.h"
#include "kernels/scored_softmax_window.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tile_sequence.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Where the table of Gaussians has the tile's first lane, against a key at position 0.
std::int64_t gaussian_index(const Problem& p, const LaneTile& tile) {
  return tile.queries.query[0] * p.group() + tile.queries.head[0] - tile.kv_head * p.group();
}

/// What a problem does to one lane's logits.
struct TileShape {
  static constexpr bool kShapes = true;
  void operator()(int lane, const KeySpan& span, float* logits) const {
    terms.shape_lane(lane, begin + span.begin, span.keys(), logits);
  }
  const TileTerms& terms;
  std::int64_t begin;
};

void monotonic_quads(const MonotonicTile& job) {
  const Problem& p = job.problem;
  const std::int64_t begin = job.runs.front().begin;
  const QuadTileRows rows{job.tile.queries,
                          job.tile.q_rows,
                          job.tile.out_rows,
                          {job.k + begin * job.k_stride, job.k_stride},
                          {job.v + begin * job.v_stride, job.v_stride},
                          p.dim_qk,
                          p.dim_v};
  QuadTile tile(rows, job.pattern, job.runs);
  const TileTerms terms(job.shaping, job.tile.queries);
  QuadStates states;
  clear_state(states.columns());
  terms.start(states.columns());
  const std::int64_t first = gaussian_index(p, job.tile) - (begin - p.diagonal()) * p.group();
  const auto table = [&](int lane, int key) {
    return QuadTable{job.gaussian.quad_at(first + lane - key * p.group()),
                     -p.group() * GaussianTable::kQuadFloats};
  };
  constexpr auto kScale = static_cast<float>(std::numbers::log2e);
  if (terms.shapes()) {
    tile.weights(kScale, job.scratch, states, TileShape{terms, begin}, table, job.upcoming);
  } else {
    tile.weights(kScale, job.scratch, states, Unshaped(), table, job.upcoming);
  }
  inverse_sums(states.sum, states.factor);
  tile.outputs(states.factor);
  if (job.upcoming != nullptr) job.upcoming->rest();
}

void monotonic_target(const MonotonicTile& job) {
  const Problem& p = job.problem;
  const int lanes = job.tile.queries.lanes;
  job.runs.clear();
  job.pattern.runs(job.tile.queries, job.runs);
  if (reads_in_quads(job.pattern, job.runs)) return monotonic_quads(job);
  const OnlineTile t = start_tile(job.scratch, p.dim_v, lanes, kMostBlockKeys);
  float* packed = t.factor + kLaneStride;
  pack_transposed(job.tile.q_rows, lanes, t.columns, p.dim_qk,
                  static_cast<float>(std::numbers::log2e), packed, kLaneStride);
  const TileTerms terms(job.shaping, job.tile.queries);
  terms.start(t);
  if (job.upcoming != nullptr) {
    job.upcoming->spread_over(product_work(job.runs, lanes, p.dim_qk + p.dim_v));
  }
  const std::int64_t first = gaussian_index(p, job.tile);
  RangedOutput out{t.acc, p.dim_v, output_by_rows(job.runs, lanes, p.dim_v)};
  BlockCursor blocks(job.runs, block_keys(out.by_rows));
  for (KeyBlock block; blocks.next(block);) {
    const auto keys = static_cast<int>(block.end - block.begin);
    std::uint64_t mask[kMostBlockKeys];
    const BlockRanges ranges = block_ranges(job.pattern, job.tile.queries, job.runs, block, mask);
    if (!block.masked) std::fill_n(mask, keys, ~std::uint64_t{0});
    scores_in_ranges(ranges, lanes, t.columns, p.dim_qk,
                     {job.k + block.begin * job.k_stride, job.k_stride}, packed, t.scores,
                     job.upcoming);
    terms.shape_ranges(block.begin, keys, ranges, t.columns, t.scores);
    const float* table = job.gaussian.at(first - (block.begin - p.diagonal()) * p.group());
    softmax_in_ranges(
        ranges, lanes, t, mask,
        [table, step = p.group()](auto d, std::ptrdiff_t j, std::ptrdiff_t column, auto weight) {
          return hn::Mul(weight, hn::LoadU(d, table + column - j * step));
        });
    values_in_ranges(ranges, lanes, {job.v + block.begin * job.v_stride, job.v_stride}, t, out,
                     job.upcoming);
  }
  zero_unseen(lanes, out);
  if (job.upcoming != nullptr) job.upcoming->rest();
  finish_tile(t, job.tile, out);
}

}  // namespace

void monotonic_entry(const MonotonicTile& job) { monotonic_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(monotonic_entry);
}  // namespace

void run_monotonic_tile(const MonotonicTile& job) { HWY_DYNAMIC_DISPATCH(monotonic_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
