#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_choose.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>

#include "kernels/materialised_softmax.h"
#include "kernels/op_count.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_choice.h"
#include "kernels/scored_softmax_choose.h"
#include "kernels/scored_softmax_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Calls block(begin, keys) after the logits of each block of keys stand in `scores`; keys that a
/// lane may not read are -infinity. Blocks are at multiples of kKeyBlock.
template <class Block>
HWY_INLINE void for_each_block(const ChoiceTile& job, float* packed, float* scores, Block block) {
  const TileQueries& queries = job.tile.queries;
  const std::int64_t dim = job.problem.dim_qk;
  const std::ptrdiff_t columns = padded_lanes(queries.lanes);
  pack_transposed(job.tile.q_rows, queries.lanes, columns, dim, job.scale, packed, kLaneStride);
  const std::int64_t common = lane_keys(job, 0), total = lane_keys(job, queries.lanes - 1);
  for (std::int64_t begin = 0; begin < total; begin += kKeyBlock) {
    const std::int64_t end = std::min<std::int64_t>(begin + kKeyBlock, total);
    gemm<ALayout::row_major>(end - begin, columns, dim, job.k + begin * job.k_stride, job.k_stride,
                             packed, kLaneStride, scores, kLaneStride, Old::overwrite);
    if (end > common) {
      std::uint64_t mask[kKeyBlock];
      job.pattern.mask(queries, 0, begin, end, mask);
      apply_mask(scores, end - begin, mask, columns);
    }
    block(begin, end - begin);
    count_ops((end - begin) * queries.lanes * dim, 0);
  }
}

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
  for_each_block(job, packed, scores, [&](std::int64_t begin, std::ptrdiff_t keys) {
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
  for (int lane = 0; lane < job.tile.queries.lanes; ++lane) copy_value(job, lane, chosen[lane]);
}

/// What a sampling tile knows of its segments: [segments][64] each.
struct Segments {
  float* maximum;
  float* sum;  // Relative to the segment's maximum, later to the lane's.
  std::int64_t length = 0;
  std::int64_t count = 0;
};

/// Runs over all keys; leaves each segment's maximum and sum of exponentials.
void sum_segments(const ChoiceTile& job, float* packed, const OnlineTile& t, Segments& segments) {
  const int lanes = job.tile.queries.lanes;
  std::int64_t open = 0;
  const auto close = [&] {
    std::copy_n(t.maximum, kLaneStride, segments.maximum + open * kLaneStride);
    std::copy_n(t.sum, kLaneStride, segments.sum + open * kLaneStride);
    std::fill_n(t.maximum, kLaneStride, kNone);
    std::fill_n(t.sum, kLaneStride, 0.0F);
    segments.count = open + 1;
  };
  bool any = false;
  for_each_block(job, packed, t.scores, [&](std::int64_t begin, std::ptrdiff_t keys) {
    if (begin / segments.length != open) {
      close();
      open = begin / segments.length;
    }
    softmax_columns(t, keys);
    count_ops(0, keys * lanes + lanes);
    any = true;
  });
  if (any) close();
}

/// A lane's segment, what is cumulated before it, and where in the sum its key lies.
struct Draw {
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
    auto maximum = hn::Set(d, kNone);
    for (std::int64_t s = 0; s < segments.count; ++s) {
      maximum = hn::Max(maximum, hn::Load(d, segments.maximum + s * kLaneStride + at));
    }
    hn::Store(maximum, d, draw.maximum + at);
    // A lane without a key: (-inf) - (-inf) must not be formed.
    maximum = hn::IfThenZeroElse(hn::Eq(maximum, hn::Set(d, kNone)), maximum);
    auto total = hn::Zero(d);
    for (std::int64_t s = 0; s < segments.count; ++s) {
      const std::ptrdiff_t here = s * kLaneStride + at;
      const auto factor =
          exp2_nonpositive(d, hn::Sub(hn::Load(d, segments.maximum + here), maximum));
      const auto sum = hn::Mul(factor, hn::Load(d, segments.sum + here));
      hn::Store(sum, d, segments.sum + here);
      total = hn::Add(total, sum);
    }
    const auto target = hn::Mul(hn::Load(d, uniform + at), total);
    hn::Store(target, d, draw.target + at);
    auto reached = hn::Zero(d), before = hn::Zero(d), segment = hn::Zero(d);
    // The last segment needs no test: it is what remains.
    for (std::int64_t s = 0; s + 1 < segments.count; ++s) {
      reached = hn::Add(reached, hn::Load(d, segments.sum + s * kLaneStride + at));
      const auto passed = hn::Le(reached, target);
      before = hn::IfThenElse(passed, reached, before);
      segment = hn::IfThenElse(passed, hn::Set(d, static_cast<float>(s + 1)), segment);
    }
    hn::Store(before, d, draw.before + at);
    hn::Store(segment, d, draw.segment + at);
  }
}

/// The key of one lane, from the logits of its segment. Always as many logits as a segment has keys
/// (or the lane has), so that the work does not depend on the draw.
std::int64_t draw_key(const ChoiceTile& job, const Draw& draw, std::int64_t length, int lane,
                      float* logits) {
  const std::int64_t keys = lane_keys(job, lane);
  if (keys == 0) return -1;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // The lane's last segment, should rounding leave the target at the very end of the sum.
  const std::int64_t segment =
      std::min(static_cast<std::int64_t>(draw.segment[lane]), (keys - 1) / length);
  const std::int64_t first = segment * length;
  const std::int64_t end = std::min(first + length, keys);
  const std::int64_t count = std::min(length, keys);
  const std::int64_t begin = end - count;
  row_dots(job.tile.q_rows[lane], job.k + begin * job.k_stride, job.k_stride, count,
           job.problem.dim_qk, job.scale, logits);
  const auto maximum = hn::Set(d, draw.maximum[lane]);
  for (std::int64_t j = 0; j < count; j += lanes) {
    // Logits computed twice may differ in the last place: not beyond what exp2 accepts.
    hn::Store(exp2_nonpositive(d, hn::Sub(hn::Load(d, logits + j), maximum)), d, logits + j);
  }
  count_ops(count * job.problem.dim_qk, count);
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
  float* logits = segments.sum + kSampleSegments * kLaneStride;
  sum_segments(job, packed, t, segments);
  alignas(64) float lane_uniform[kTileQueries] = {};
  for (int lane = 0; lane < lanes; ++lane) lane_uniform[lane] = uniform[job.tile.row[lane]];
  Draw draw;
  draw_segments(segments, t.columns, lane_uniform, draw);
  count_ops(0, segments.count * lanes);
  for (int lane = 0; lane < lanes; ++lane) {
    copy_value(job, lane, draw_key(job, draw, segments.length, lane, logits));
  }
}

/// A candidate as one integer, larger for a larger logit and, among equals, for a lower index.
HWY_INLINE std::uint64_t candidate(float logit, std::int64_t index) {
  // + 0 makes -0 and 0 equal, as logits are compared.
  const auto bits = std::bit_cast<std::uint32_t>(logit + 0.0F);
  const std::uint32_t ordered = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return std::uint64_t{ordered} << 32 | (0xffffffffU - static_cast<std::uint32_t>(index));
}
HWY_INLINE float logit_of(std::uint64_t c) {
  const auto ordered = static_cast<std::uint32_t>(c >> 32);
  return std::bit_cast<float>((ordered & 0x80000000U) != 0 ? ordered & 0x7fffffffU : ~ordered);
}
HWY_INLINE std::int64_t index_of(std::uint64_t c) {
  return static_cast<std::int64_t>(0xffffffffU - static_cast<std::uint32_t>(c));
}

/// The lists of candidates of a tile: a logit enters when it is above its lane's threshold, the
/// wanted count's smallest so far.
struct Candidates {
  std::uint64_t* list;  // [64][slots]
  std::int64_t slots;
  std::int64_t wanted;
  alignas(64) float threshold[kTileQueries];
  std::int64_t size[kTileQueries];

  std::uint64_t* of(int lane) { return list + lane * slots; }
  /// Cuts a lane's list back to the wanted count.
  void cut(int lane) {
    if (size[lane] <= wanted) return;
    std::uint64_t* from = of(lane);
    std::nth_element(from, from + wanted - 1, from + size[lane], std::greater<>());
    size[lane] = wanted;
    threshold[lane] = logit_of(from[wanted - 1]);
  }
};

/// Lanes whose logit of one key is above their threshold.
HWY_INLINE std::uint64_t above_threshold(const float* scores, const Candidates& c,
                                         std::ptrdiff_t columns) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::uint64_t word = 0;
  for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
    std::uint64_t part = 0;
    hn::StoreMaskBits(d, hn::Gt(hn::Load(d, scores + at), hn::Load(d, c.threshold + at)),
                      reinterpret_cast<std::uint8_t*>(&part));
    word |= part << at;
  }
  return word;
}

void topk_target(const ChoiceTile& job, std::int64_t count) {
  const int lanes = job.tile.queries.lanes;
  const std::ptrdiff_t columns = padded_lanes(lanes);
  float* packed = job.scratch;
  float* scores = packed + job.problem.dim_qk * kLaneStride;
  float* weights = scores + kKeyBlock * kLaneStride;
  Candidates c{};
  c.slots = topk_slots(job.problem.seq_k, count);
  c.wanted = count;
  c.list = reinterpret_cast<std::uint64_t*>(weights + (c.slots + 15) / 16 * 16);
  std::fill_n(c.threshold, kTileQueries, kNone);
  // Lanes beyond the tile's hold no query.
  std::fill(c.threshold + lanes, c.threshold + kTileQueries, -kNone);
  for_each_block(job, packed, scores, [&](std::int64_t begin, std::ptrdiff_t keys) {
    for (int lane = 0; lane < lanes; ++lane) {
      if (c.size[lane] + keys > c.slots) c.cut(lane);
    }
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      const float* row = scores + j * kLaneStride;
      for (std::uint64_t word = above_threshold(row, c, columns); word != 0; word &= word - 1) {
        const int lane = std::countr_zero(word);
        c.of(lane)[c.size[lane]++] = candidate(row[lane], begin + j);
      }
    }
  });
  for (int lane = 0; lane < lanes; ++lane) {
    c.cut(lane);
    const std::uint64_t* list = c.of(lane);
    const std::int64_t size = c.size[lane];
    for (std::int64_t t = 0; t < size; ++t) weights[t] = logit_of(list[t]);
    const float inverse_sum = softmax_row(weights, size, size);
    weighted_rows(
        weights, [&](std::ptrdiff_t t) { return job.v + index_of(list[t]) * job.v_stride; }, size,
        job.problem.dim_v, inverse_sum, job.tile.out_rows[lane]);
    count_ops(size * job.problem.dim_v, size);
  }
}

}  // namespace

void argmax_entry(const ChoiceTile& job) { argmax_target(job); }
void sampled_entry(const ChoiceTile& job, const float* uniform) { sampled_target(job, uniform); }
void topk_entry(const ChoiceTile& job, std::int64_t count) { topk_target(job, count); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(argmax_entry);
HWY_EXPORT(sampled_entry);
HWY_EXPORT(topk_entry);
}  // namespace

void run_argmax_tile(const ChoiceTile& job) { HWY_DYNAMIC_DISPATCH(argmax_entry)(job); }
void run_sampled_tile(const ChoiceTile& job, const float* uniform) {
  HWY_DYNAMIC_DISPATCH(sampled_entry)(job, uniform);
}
void run_topk_tile(const ChoiceTile& job, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(topk_entry)(job, count);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
