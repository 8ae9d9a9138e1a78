#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_topk.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "kernels/bit_matrix.h"
#include "kernels/op_count.h"
#include "kernels/row_softmax.h"
#include "kernels/scored_softmax_choose-inl.h"
#include "kernels/scored_softmax_choose.h"
#include "kernels/scored_softmax_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Floats as integers in the same order, and back.
HWY_INLINE std::int32_t ordered(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits < 0 ? std::numeric_limits<std::int32_t>::min() - bits : bits;
}
HWY_INLINE float unordered(std::int32_t x) {
  return std::bit_cast<float>(x < 0 ? std::numeric_limits<std::int32_t>::min() - x : x);
}

/// How many of x[0, n) are above t; n is rounded up to whole vectors, and what is there counts.
HWY_INLINE std::int64_t count_above(const float* x, std::int64_t n, float t) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto bound = hn::Set(d, t);
  std::size_t count = 0;
  for (std::int64_t at = 0; at < n; at += lanes) {
    count += hn::CountTrue(d, hn::Gt(hn::Load(d, x + at), bound));
  }
  return static_cast<std::int64_t>(count);
}

/// What separates the `wanted` largest of a list from the rest: those above `bound`, and as many of
/// those equal to it as are missing.
struct Cut {
  float bound = 0;
  std::int64_t above = 0;
};

/// Bisection from a bound with more than `wanted` values above it and the largest value; up to
/// `spare` more than wanted will do. Between values first, which converges fast on smooth data;
/// then between their representations, which ends after 32 steps on any.
Cut find_cut(const float* x, std::int64_t n, std::int64_t wanted, std::int64_t spare, float low,
             float high) {
  constexpr int kSmoothSteps = 16;
  for (int step = 0;; ++step) {
    const std::int32_t from = ordered(low), to = ordered(high);
    const auto gap = static_cast<std::int64_t>(to) - from;
    if (gap <= 1) return {high, count_above(x, n, high)};
    float middle = 0.5F * low + 0.5F * high;
    if (step >= kSmoothSteps || !(middle > low && middle < high)) {
      middle = unordered(static_cast<std::int32_t>(from + gap / 2));
    }
    const std::int64_t above = count_above(x, n, middle);
    if (above >= wanted && above <= wanted + spare) return {middle, above};
    (above > wanted ? low : high) = middle;
  }
}

/// The lists of candidates of a tile, in order of their keys: a logit enters when it is above its
/// lane's threshold, which at least the wanted count of candidates are.
struct Candidates {
  float* logits;        // [64][stride]
  std::int32_t* keys;   // [64][stride]
  std::int64_t slots;   // A multiple of 16.
  std::int64_t stride;  // slots + kTopkSpare
  std::int64_t wanted;
  alignas(64) float threshold[kTileQueries];
  std::int64_t size[kTileQueries];

  float* logits_of(int lane) const { return logits + lane * stride; }
  std::int32_t* keys_of(int lane) const { return keys + lane * stride; }
};

/// Keeps the candidates of a lane that `cut` names, in order.
void keep(Candidates& c, int lane, const Cut& cut) {
  const hn::ScalableTag<float> d;
  [[maybe_unused]] const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  float* x = c.logits_of(lane);
  std::int32_t* key = c.keys_of(lane);
  const std::int64_t size = c.size[lane];
  std::int64_t kept = 0;
  if (cut.above >= c.wanted) {
    const auto bound = hn::Set(d, cut.bound);
    // What is written, [kept, kept + lanes), has been read.
    for (std::int64_t at = 0; at < size; at += lanes) {
      const auto value = hn::Load(d, x + at);
      const auto above = hn::Gt(value, bound);
#if HWY_TARGET <= HWY_AVX3
      const auto index = hn::Load(di, key + at);
      hn::StoreU(hn::Compress(value, above), d, x + kept);
      hn::StoreU(hn::Compress(index, hn::RebindMask(di, above)), di, key + kept);
      kept += static_cast<std::int64_t>(hn::CountTrue(d, above));
#else
      // Without an instruction for it, Highway 1.0 copies a table of 1 KiB for every Compress.
      std::uint64_t bits = 0;
      hn::StoreMaskBits(d, above, reinterpret_cast<std::uint8_t*>(&bits));
      for (; bits != 0; bits &= bits - 1) {
        const std::int64_t from = at + std::countr_zero(bits);
        x[kept] = x[from];
        key[kept++] = key[from];
      }
#endif
    }
  } else {
    std::int64_t equal = c.wanted - cut.above;
    for (std::int64_t at = 0; at < size; ++at) {
      const bool tie = x[at] == cut.bound && equal > 0;
      if (!tie && !(x[at] > cut.bound)) continue;
      equal -= tie ? 1 : 0;
      x[kept] = x[at];
      key[kept++] = key[at];
    }
  }
  c.size[lane] = kept;
  c.threshold[lane] = cut.bound;
}

/// Cuts a lane's list back to the wanted count, or `spare` more.
void cut_back(Candidates& c, int lane, std::int64_t spare) {
  const std::int64_t size = c.size[lane];
  if (size <= c.wanted) return;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  float* x = c.logits_of(lane);
  const std::int64_t whole = size / lanes * lanes;
  auto largest = hn::Set(d, kNone), least = hn::Set(d, -kNone);
  for (std::int64_t at = 0; at < whole; at += lanes) {
    largest = hn::Max(largest, hn::Load(d, x + at));
    least = hn::Min(least, hn::Load(d, x + at));
  }
  float high = hn::GetLane(hn::MaxOfLanes(d, largest));
  float below = hn::GetLane(hn::MinOfLanes(d, least));
  for (std::int64_t at = whole; at < size; ++at) {
    high = std::max(high, x[at]);
    below = std::min(below, x[at]);
  }
  std::fill(x + size, x + (size + lanes - 1) / lanes * lanes, kNone);
  // All candidates are above the threshold, and above the float before the least of them.
  const float low = std::max(c.threshold[lane], unordered(ordered(below) - 1));
  keep(c, lane, find_cut(x, size, c.wanted, spare, low, high));
}

/// Bit j of above[lane]: the lane's logit of key j of a block, scores [keys][64], is above its
/// threshold.
template <class Columns>
HWY_INLINE void find_above(const float* HWY_RESTRICT scores, const Candidates& c,
                           std::ptrdiff_t keys, Columns columns, std::uint64_t (&above)[64]) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    std::uint64_t word = 0;
    for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
      std::uint64_t part = 0;
      hn::StoreMaskBits(
          d, hn::Gt(hn::Load(d, scores + j * kLaneStride + at), hn::Load(d, c.threshold + at)),
          reinterpret_cast<std::uint8_t*>(&part));
      word |= part << at;
    }
    above[j] = word;
  }
  std::fill(above + keys, above + 64, 0);
  transpose_bits(above);
}

/// Appends the logits of a lane, scores[64 j] for the bits j of `above`, and their keys. Four at a
/// time, whatever they are, so that most lanes of most blocks take the same way: up to
/// four entries beyond the list's end are written, for which there is kTopkSpare.
HWY_INLINE void append_above(Candidates& c, int lane, const float* HWY_RESTRICT scores,
                             std::uint64_t above, std::int64_t begin) {
  float* HWY_RESTRICT x = c.logits_of(lane) + c.size[lane];
  std::int32_t* HWY_RESTRICT key = c.keys_of(lane) + c.size[lane];
  c.size[lane] += std::popcount(above);
  do {
    for (int i = 0; i < 4; ++i, above &= above - 1) {
      const auto j = static_cast<std::size_t>(std::countr_zero(above)) % 64U;
      x[i] = scores[j * static_cast<std::size_t>(kLaneStride)];
      key[i] = static_cast<std::int32_t>(begin) + static_cast<std::int32_t>(j);
    }
    x += 4;
    key += 4;
  } while (above != 0);
}

/// The first blocks of keys, as far as they are not masked, fill every lane's list: one transpose
/// instead of 64 x 64 appends.
void append_block(Candidates& c, int lanes, const float* scores, std::int64_t begin,
                  std::ptrdiff_t keys) {
  alignas(64) float ones[kTileQueries];
  std::fill_n(ones, kTileQueries, 1.0F);
  float* rows[kTileQueries];
  for (int lane = 0; lane < lanes; ++lane) {
    rows[lane] = c.logits_of(lane) + c.size[lane];
    std::iota(c.keys_of(lane) + c.size[lane], c.keys_of(lane) + c.size[lane] + keys,
              static_cast<std::int32_t>(begin));
    c.size[lane] += keys;
  }
  unpack_transposed(scores, kLaneStride, ones, lanes, keys, rows);
}

/// Softmax over each lane's candidates, and their values.
void finish_candidates(const ChoiceTile& job, const TileTerms& terms, Candidates& c) {
  for (int lane = 0; lane < job.tile.queries.lanes; ++lane) {
    cut_back(c, lane, 0);
    const std::int64_t size = c.size[lane];
    const std::int32_t* key = c.keys_of(lane);
    const float inverse_sum = softmax_row(c.logits_of(lane), size, terms.sink(lane));
    weighted_rows(
        c.logits_of(lane), [&](std::ptrdiff_t t) { return job.v + key[t] * job.v_stride; }, size,
        job.problem.dim_v, inverse_sum, job.tile.out_rows[lane]);
    count_ops(size * job.problem.dim_v, size + (size > 0 && terms.has_sink() ? 1 : 0));
  }
}

void topk_target(const ChoiceTile& job, std::int64_t count) {
  const int lanes = job.tile.queries.lanes;
  const std::ptrdiff_t columns = padded_lanes(lanes);
  float* packed = job.scratch;
  float* scores = packed + job.problem.dim_qk * kLaneStride;
  Candidates c{};
  c.slots = topk_slots(job.problem.seq_k, count);
  c.stride = c.slots + kTopkSpare;
  c.wanted = count;
  c.logits = scores + kKeyBlock * kLaneStride;
  c.keys = reinterpret_cast<std::int32_t*>(c.logits + c.stride * kLaneStride);
  std::fill_n(c.threshold, kTileQueries, kNone);
  // Lanes beyond the tile's hold no query.
  std::fill(c.threshold + lanes, c.threshold + kTileQueries, -kNone);
  const TileTerms terms(job.shaping, job.tile.queries);
  std::int64_t appended = 0;  // Size of every list while all blocks were whole; then -1.
  const auto take = [&](std::int64_t begin, std::ptrdiff_t keys, bool masked) {
    if (appended >= 0 && !masked && appended + keys <= c.slots) {
      append_block(c, lanes, scores, begin, keys);
      appended += keys;
      return;
    }
    appended = -1;
    for (int lane = 0; lane < lanes; ++lane) {
      if (c.size[lane] + keys > c.slots) cut_back(c, lane, count / 4);
    }
    std::uint64_t above[64];
    if (columns == kLaneStride) {
      find_above(scores, c, keys, std::integral_constant<std::ptrdiff_t, kLaneStride>(), above);
    } else {
      find_above(scores, c, keys, columns, above);
    }
    for (int lane = 0; lane < lanes; ++lane) {
      append_above(c, lane, scores + lane, above[lane], begin);
    }
  };
  for_each_block(job, terms, packed, scores, take);
  finish_candidates(job, terms, c);
}

}  // namespace

void topk_entry(const ChoiceTile& job, std::int64_t count) { topk_target(job, count); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(topk_entry);
}

void run_topk_tile(const ChoiceTile& job, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(topk_entry)(job, count);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
