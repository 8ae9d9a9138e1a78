#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_choose.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/op_count.h"
#include "kernels/scored_softmax_choice.h"
#include "kernels/scored_softmax_choose-inl.h"
#include "kernels/scored_softmax_choose.h"
#include "kernels/scored_softmax_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Copies the value row of key `j`, or zeros when there is none.
void copy_value(const ChoiceTile& job, int lane, std::int64_t j) {
  float* out = job.tile.out_rows[lane];
  if (j < 0) {
    std::fill_n(out, job.problem.dim_v, 0.0F);
  } else {
    std::copy_n(job.v + j * job.v_stride, job.problem.dim_v, out);
  }
}

void argmax_target(const ChoiceTile& job) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t columns = padded_lanes(job.tile.queries.lanes);
  float* packed = job.scratch;
  float* scores = packed + job.problem.dim_qk * kLaneStride;
  alignas(64) float best[kTileQueries];
  alignas(64) std::int32_t chosen[kTileQueries];
  std::fill_n(best, kTileQueries, kNone);
  std::fill_n(chosen, kTileQueries, -1);
  const TileTerms terms(job.shaping, job.tile.queries);
  for_each_block(job, terms, packed, scores, [&](std::int64_t begin, std::ptrdiff_t keys, bool) {
    for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
      auto top = hn::Load(d, best + at);
      auto index = hn::Load(di, chosen + at);
      auto key = hn::Set(di, static_cast<std::int32_t>(begin));
      for (std::ptrdiff_t j = 0; j < keys; ++j) {
        const auto s = hn::Load(d, scores + j * kLaneStride + at);
        // Strictly larger: the first of equals stays.
        const auto larger = hn::Gt(s, top);
        top = hn::IfThenElse(larger, s, top);
        index = hn::IfThenElse(hn::RebindMask(di, larger), key, index);
        key = hn::Add(key, hn::Set(di, 1));
      }
      hn::Store(top, d, best + at);
      hn::Store(index, di, chosen + at);
    }
  });
  for (int lane = 0; lane < job.tile.queries.lanes; ++lane) {
    copy_value(job, lane, terms.sink(lane) > best[lane] ? -1 : chosen[lane]);
  }
}

/// What a sampling tile knows of its segments: [segments][64] each.
struct Segments {
  float* maximum;
  float* sum;  // Relative to the segment's maximum, later to the lane's.
  std::int64_t length = 0;
  std::int64_t count = 0;
};

/// Runs over all keys; leaves each segment's maximum and sum of exponentials.
void sum_segments(const ChoiceTile& job, const TileTerms& terms, float* packed, const OnlineTile& t,
                  const Segments& segments) {
  const int lanes = job.tile.queries.lanes;
  std::int64_t open = 0;
  const auto close_until = [&](std::int64_t segment) {
    for (; open < segment; ++open) {
      std::copy_n(t.maximum, kLaneStride, segments.maximum + open * kLaneStride);
      std::copy_n(t.sum, kLaneStride, segments.sum + open * kLaneStride);
      std::fill_n(t.maximum, kLaneStride, kNone);
      std::fill_n(t.sum, kLaneStride, 0.0F);
    }
  };
  for_each_block(job, terms, packed, t.scores, [&](std::int64_t begin, std::ptrdiff_t keys, bool) {
    close_until(begin / segments.length);
    softmax_columns(t, keys);
    count_ops(0, keys * lanes + lanes);
  });
  close_until(segments.count);
}

/// A lane's segment (-1: the sink was drawn), what is cumulated before it, and where in the sum its
/// key lies. `sink` is given.
struct Draw {
  alignas(64) float sink[kTileQueries];
  alignas(64) float before[kTileQueries];
  alignas(64) float target[kTileQueries];
  alignas(64) float maximum[kTileQueries];
  alignas(64) float segment[kTileQueries];
};

/// Finds each lane's segment: the first at whose end the cumulated sum exceeds the target.
void draw_segments(const Segments& segments, std::ptrdiff_t columns, const float* uniform,
                   Draw& draw) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
    auto maximum = hn::Load(d, draw.sink + at);
    for (std::int64_t s = 0; s < segments.count; ++s) {
      maximum = hn::Max(maximum, hn::Load(d, segments.maximum + s * kLaneStride + at));
    }
    hn::Store(maximum, d, draw.maximum + at);
    // A lane without a key: (-inf) - (-inf) must not be formed.
    maximum = hn::IfThenZeroElse(hn::Eq(maximum, hn::Set(d, kNone)), maximum);
    const auto sink = exp2_nonpositive(d, hn::Sub(hn::Load(d, draw.sink + at), maximum));
    auto total = hn::Zero(d), last = hn::Zero(d);
    for (std::int64_t s = 0; s < segments.count; ++s) {
      const std::ptrdiff_t here = s * kLaneStride + at;
      const auto factor =
          exp2_nonpositive(d, hn::Sub(hn::Load(d, segments.maximum + here), maximum));
      const auto sum = hn::Mul(factor, hn::Load(d, segments.sum + here));
      hn::Store(sum, d, segments.sum + here);
      total = hn::Add(total, sum);
      last = hn::IfThenElse(hn::Gt(sum, hn::Zero(d)), hn::Set(d, static_cast<float>(s)), last);
    }
    const auto target = hn::Mul(hn::Load(d, uniform + at), hn::Add(total, sink));
    hn::Store(target, d, draw.target + at);
    auto reached = hn::Zero(d), before = hn::Zero(d), segment = hn::Zero(d);
    for (std::int64_t s = 0; s < segments.count; ++s) {
      reached = hn::Add(reached, hn::Load(d, segments.sum + s * kLaneStride + at));
      const auto passed = hn::Le(reached, target);
      const auto next = hn::Set(d, static_cast<float>(s + 1));
      // Should rounding leave the target at the very end of the sum, it is the last with a weight.
      const auto move = hn::And(passed, hn::Le(next, last));
      before = hn::IfThenElse(move, reached, before);
      segment = hn::IfThenElse(move, next, segment);
    }
    const auto to_sink = hn::And(hn::Le(reached, target), hn::Gt(sink, hn::Zero(d)));
    segment = hn::IfThenElse(to_sink, hn::Set(d, -1.0F), segment);
    hn::Store(before, d, draw.before + at);
    hn::Store(segment, d, draw.segment + at);
  }
}

/// The key of one lane, from the logits of its segment. Always as many logits as a segment has keys
/// (or the lane has), so that the work does not depend on the draw.
std::int64_t draw_key(const ChoiceTile& job, const TileTerms& terms, const Draw& draw,
                      std::int64_t length, int lane, float* logits) {
  const std::int64_t keys = lane_keys(job, lane);
  if (keys == 0) return -1;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const bool none = draw.segment[lane] < 0 || draw.maximum[lane] == kNone;
  const std::int64_t first = none ? 0 : static_cast<std::int64_t>(draw.segment[lane]) * length;
  const std::int64_t end = std::min(first + length, keys);
  const std::int64_t count = std::min(length, keys);
  const std::int64_t begin = end - count;
  row_dots(job.tile.q_rows[lane], job.k + begin * job.k_stride, job.k_stride, count,
           job.problem.dim_qk, job.scale, logits);
  terms.shape_lane(lane, begin, count, logits);
  const auto maximum = hn::Set(d, none ? 0.0F : draw.maximum[lane]);
  for (std::int64_t j = 0; j < count; j += lanes) {
    // Logits computed twice may differ in the last place: not beyond what exp2 accepts.
    hn::Store(exp2_nonpositive(d, hn::Sub(hn::Load(d, logits + j), maximum)), d, logits + j);
  }
  count_ops(count * job.problem.dim_qk, count);
  if (none) return -1;
  float reached = draw.before[lane];
  std::int64_t chosen = first;
  for (std::int64_t j = first - begin; j < count; ++j) {
    // Rounding may leave the target beyond the last key: then it is the last one with any weight.
    if (logits[j] > 0) chosen = begin + j;
    reached += logits[j];
    if (reached > draw.target[lane]) break;
  }
  return chosen;
}

void sampled_target(const ChoiceTile& job, const float* uniform) {
  const int lanes = job.tile.queries.lanes;
  const OnlineTile t = start_tile(job.scratch, 0, lanes);
  float* packed = t.factor + kLaneStride;
  Segments segments{};
  segments.maximum = packed + job.problem.dim_qk * kLaneStride;
  segments.sum = segments.maximum + kSampleSegments * kLaneStride;
  segments.length = sample_segment(job.problem.seq_k);
  segments.count = (lane_keys(job, lanes - 1) + segments.length - 1) / segments.length;
  float* logits = segments.sum + kSampleSegments * kLaneStride;
  const TileTerms terms(job.shaping, job.tile.queries);
  sum_segments(job, terms, packed, t, segments);
  alignas(64) float lane_uniform[kTileQueries] = {};
  const TileQueries& queries = job.tile.queries;
  for (int lane = 0; lane < lanes; ++lane) {
    const std::int64_t head = queries.batch * job.problem.heads_q + queries.head[lane];
    lane_uniform[lane] = uniform[head * job.problem.seq_q + queries.query[lane]];
  }
  Draw draw;
  std::fill_n(draw.sink, kTileQueries, kNone);
  for (int lane = 0; lane < lanes; ++lane) draw.sink[lane] = terms.sink(lane);
  draw_segments(segments, t.columns, lane_uniform, draw);
  count_ops(0, (segments.count + (terms.has_sink() ? 1 : 0)) * lanes);
  for (int lane = 0; lane < lanes; ++lane) {
    copy_value(job, lane, draw_key(job, terms, draw, segments.length, lane, logits));
  }
}

}  // namespace

void argmax_entry(const ChoiceTile& job) { argmax_target(job); }
void sampled_entry(const ChoiceTile& job, const float* uniform) { sampled_target(job, uniform); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(argmax_entry);
HWY_EXPORT(sampled_entry);
}  // namespace

void run_argmax_tile(const ChoiceTile& job) { HWY_DYNAMIC_DISPATCH(argmax_entry)(job); }
void run_sampled_tile(const ChoiceTile& job, const float* uniform) {
  HWY_DYNAMIC_DISPATCH(sampled_entry)(job, uniform);
}
}  // namespace attnbench::kernels
#endif  // HWY_ONCE
