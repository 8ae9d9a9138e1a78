#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quad_tile.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <numbers>
#include <optional>

#include "kernels/logit_terms-inl.h"
#include "kernels/quad_tile-inl.h"
#include "kernels/quad_tile.h"
#include "kernels/tile_state-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// What the job's terms and modifier do to one lane's logits.
struct JobShape {
  static constexpr bool kShapes = true;
  JobShape(const TileJob& tile_job, const KeyBlock& keys) : job(tile_job), block(keys) {
    if (job.terms == nullptr || !job.terms->shape_logits()) return;
    terms.emplace(*job.terms, job.queries);
    if (!job.terms->slopes.empty()) key_positions(job, block, positions);
  }
  void operator()(int lane, const KeySpan& span, float* logits) const {
    if (terms) {
      shape_lane_row(*job.terms, terms->slopes[lane], terms->positions[lane],
                     positions + span.begin, span.keys(), logits);
    }
    if (job.modifier == nullptr) return;
    KeyBlock part = block;
    part.begin = block.begin + span.begin;
    part.end = block.begin + span.end;
    modify_lane(job, part, lane, logits);
  }
  const TileJob& job;
  const KeyBlock& block;
  std::optional<LaneTerms> terms;
  float positions[kMostBlockKeys];
};

void start_states(const TileJob& job, QuadStates& states) {
  start_state(job, states.columns());
  for (int lane = 0; job.resume && lane < job.queries.lanes; ++lane) {
    states.maximum[lane] = job.states[lane]->maximum;
    states.sum[lane] = job.states[lane]->sum;
  }
}

void quad_tile(const TileJob& job) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(job.runs->front().source)];
  const std::int64_t begin = job.runs->front().begin;
  const QuadTileRows rows{job.queries,
                          job.q_rows,
                          job.out_rows,
                          {source.k + begin * source.k_stride, source.k_stride},
                          {source.v + begin * source.v_stride, source.v_stride},
                          job.dim_qk,
                          job.dim_v};
  QuadTile tile(rows, *job.pattern, *job.runs);
  QuadStates states;
  start_states(job, states);
  const auto scale = static_cast<float>(job.scale * std::numbers::log2e);
  const auto no_table = [](int, int) { return QuadTable{}; };
  if (job.modifier != nullptr || (job.terms != nullptr && job.terms->shape_logits())) {
    tile.weights(scale, job.scratch, states, JobShape(job, tile.block()), no_table, job.upcoming);
  } else {
    tile.weights(scale, job.scratch, states, Unshaped(), no_table, job.upcoming);
  }
  HWY_ALIGN float factor[kTileQueries];
  if (job.finish) {
    inverse_sums(states.sum, factor);
    for (int lane = 0; lane < job.queries.lanes; ++lane) states.factor[lane] *= factor[lane];
  } else {
    std::fill_n(factor, kTileQueries, 1.0F);
    for (int lane = 0; lane < job.queries.lanes; ++lane) {
      *job.states[lane] = {states.maximum[lane], states.sum[lane]};
    }
  }
  if (job.resume) {
    tile.add_outputs(factor, states.factor);
  } else {
    tile.outputs(factor);
  }
  if (job.upcoming != nullptr) job.upcoming->rest();
}

}  // namespace

void run_quad_entry(const TileJob& job) { quad_tile(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(run_quad_entry);
}

void run_quad_tile(const TileJob& job) { HWY_DYNAMIC_DISPATCH(run_quad_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
