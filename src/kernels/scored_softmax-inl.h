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

#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/scored_softmax_tiles.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::ptrdiff_t kLaneStride = kTileQueries;  // Row stride of every tile buffer.

/// A tile's state; every buffer has kLaneStride floats per row.
struct OnlineTile {
  float* scores;           // [kKeyBlock]
  float* acc;              // [Dv]
  float* maximum;          // [1]
  float* sum;              // [1]
  float* factor;           // [1]
  std::ptrdiff_t columns;  // Lanes rounded up to whole vectors.
};

HWY_INLINE std::ptrdiff_t padded_lanes(int lanes) {
  const auto vector = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  return (lanes + vector - 1) / vector * vector;
}

/// Lays a tile out from `scratch` on, (kKeyBlock + Dv + 3) * 64 floats, and clears its state; `acc`
/// is left as it is.
HWY_INLINE OnlineTile start_tile(float* scratch, std::int64_t dim_v, int lanes) {
  OnlineTile t{};
  t.scores = scratch;
  t.acc = t.scores + kKeyBlock * kLaneStride;
  t.maximum = t.acc + dim_v * kLaneStride;
  t.sum = t.maximum + kLaneStride;
  t.factor = t.sum + kLaneStride;
  t.columns = padded_lanes(lanes);
  std::fill_n(t.maximum, kLaneStride, -std::numeric_limits<float>::infinity());
  std::fill_n(t.sum, kLaneStride, 0.0F);
  return t;
}

/// Lanes of `column` on that a mask word lets read its key.
template <class D>
HWY_INLINE auto lanes_of(D d, std::uint64_t word, std::ptrdiff_t column) {
  const std::uint64_t bits = word >> column;
  return hn::LoadMaskBits(d, reinterpret_cast<const std::uint8_t*>(&bits));
}

/// Puts -infinity where the mask lets a lane not read a key.
HWY_INLINE void apply_mask(float* scores, std::ptrdiff_t keys, const std::uint64_t* mask,
                           std::ptrdiff_t columns) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
      float* to = scores + j * kLaneStride + at;
      hn::Store(hn::IfThenElse(lanes_of(d, mask[j], at), hn::Load(d, to), none), d, to);
    }
  }
}

/// Leaves weights as they are.
struct Unweighted {
  template <class D, class V>
  HWY_INLINE V operator()(D, std::ptrdiff_t, std::ptrdiff_t, V weight) const {
    return weight;
  }
};

/// Turns the scores of V vectors of columns into weights, in place, and updates maximum, sum and
/// the factor by which what was accumulated before is to shrink. Bit `lane` of mask[j] lets the
/// lane read key j (`masked`). What is left of a weight that the sum has counted is weigh(d, key,
/// column, weight).
template <int V, bool masked, class Weigh>
HWY_INLINE void softmax_vectors(const OnlineTile& t, std::ptrdiff_t keys, std::ptrdiff_t column,
                                const std::uint64_t* mask, const Weigh& weigh) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const Vec none = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec maximum[V], sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) maximum[v] = hn::Load(d, t.maximum + column + v * lanes);
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* at = t.scores + j * kLaneStride + column + v * lanes;
      Vec score = hn::Load(d, at);
      if constexpr (masked) {
        score = hn::IfThenElse(lanes_of(d, mask[j], column + v * lanes), score, none);
        hn::Store(score, d, at);
      }
      maximum[v] = hn::Max(maximum[v], score);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t at = column + v * lanes;
    const Vec old = hn::Load(d, t.maximum + at);
    hn::Store(maximum[v], d, t.maximum + at);
    // A lane that has seen no key yet: (-inf) - (-inf) must not be formed.
    maximum[v] = hn::IfThenZeroElse(hn::Eq(maximum[v], none), maximum[v]);
    const Vec factor = exp2_nonpositive(d, hn::Sub(old, maximum[v]));
    hn::Store(factor, d, t.factor + at);
    sum[v] = hn::Mul(factor, hn::Load(d, t.sum + at));
  }
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    float* row = t.scores + j * kLaneStride + column;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec p = exp2_nonpositive(d, hn::Sub(hn::Load(d, row + v * lanes), maximum[v]));
      hn::Store(weigh(d, j, column + v * lanes, p), d, row + v * lanes);
      sum[v] = hn::Add(sum[v], p);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) hn::Store(sum[v], d, t.sum + column + v * lanes);
}

/// All columns of the tile.
template <bool masked = false, class Weigh = Unweighted>
HWY_INLINE void softmax_columns(const OnlineTile& t, std::ptrdiff_t keys,
                                const std::uint64_t* mask = nullptr, const Weigh& weigh = {}) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  for (; at + 2 * lanes <= t.columns; at += 2 * lanes) {
    softmax_vectors<2, masked>(t, keys, at, mask, weigh);
  }
  for (; at < t.columns; at += lanes) softmax_vectors<1, masked>(t, keys, at, mask, weigh);
}

/// Values of one (batch row, key-value head).
struct ValueRows {
  const float* v = nullptr;
  std::ptrdiff_t stride = 0;
  std::int64_t dim = 0;
};

/// Calls score(begin, keys) for every block of keys that the tile visits, which fills t.scores, and
/// adds the weighted values to t.acc; weigh(begin) is what softmax_vectors() does to the weights of
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
HWY_INLINE void finish_tile(const OnlineTile& t, const LaneTile& tile, std::int64_t dim_v) {
  for (int lane = 0; lane < tile.queries.lanes; ++lane) {
    t.factor[lane] = t.sum[lane] > 0 ? 1 / t.sum[lane] : 0;
  }
  unpack_transposed(t.acc, kLaneStride, t.factor, tile.queries.lanes, dim_v, tile.out_rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
