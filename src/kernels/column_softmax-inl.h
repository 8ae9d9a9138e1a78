// One block of an online softmax whose columns are query lanes (Milakov and Gimelshein 2018,
// "Online normalizer calculation for softmax", algorithm 3), compiled once per instruction set.
// Scores are logits in base 2.

#if defined(ATTNBENCH_KERNELS_COLUMN_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_COLUMN_SOFTMAX_INL_H_
#undef ATTNBENCH_KERNELS_COLUMN_SOFTMAX_INL_H_
#else
#define ATTNBENCH_KERNELS_COLUMN_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/exp-inl.h"
#include "kernels/key_pattern.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::ptrdiff_t kLaneStride = kTileQueries;  // Row stride of every tile buffer.

/// A block's scores and the state of its lanes; every buffer has kLaneStride floats per row.
struct SoftmaxColumns {
  float* scores;           // [keys of a block]
  float* maximum;          // [1]
  float* sum;              // [1]
  float* factor;           // [1]
  std::ptrdiff_t columns;  // Lanes rounded up to whole vectors.
};

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

/// Eight maxima in flight cover the latency of one (4 cycles on two ports), in V vectors of columns
/// and several rows.
constexpr int kMaximaInFlight = 8;

/// maximum = max(maximum, scores), V vectors of columns from `column` on. `masked`: scores whose
/// bit of mask[key] is unset become -infinity first.
template <int V, bool masked>
HWY_INLINE void column_maxima(const SoftmaxColumns& t, std::ptrdiff_t keys,
                              const std::uint64_t* mask, std::ptrdiff_t column) {
  constexpr int R = kMaximaInFlight / V;
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const Vec none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto score_at = [&](std::ptrdiff_t j, int v) {
    float* at = t.scores + j * kLaneStride + column + v * lanes;
    Vec score = hn::Load(d, at);
    if constexpr (masked) {
      score = hn::IfThenElse(lanes_of(d, mask[j], column + v * lanes), score, none);
      hn::Store(score, d, at);
    }
    return score;
  };
  Vec maximum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) maximum[r][v] = hn::Load(d, t.maximum + column + v * lanes);
  }
  std::ptrdiff_t j = 0;
  for (; j + R <= keys; j += R) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) maximum[r][v] = hn::Max(maximum[r][v], score_at(j + r, v));
    }
  }
  for (; j < keys; ++j) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) maximum[0][v] = hn::Max(maximum[0][v], score_at(j, v));
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
#pragma GCC unroll 8
    for (int r = 1; r < R; ++r) maximum[0][v] = hn::Max(maximum[0][v], maximum[r][v]);
    hn::Store(maximum[0][v], d, t.maximum + column + v * lanes);
  }
}

/// Turns V vectors of columns of scores into weights, in place, and updates the sums. `online`:
/// `before` are the maxima before this block, by which old and new it sets the factors; otherwise
/// the maxima are those of all blocks, and sums only grow. What is left of a weight that the sum
/// has counted is weigh(d, key, column, weight).
template <int V, bool online = true, class Weigh>
HWY_INLINE void column_weights(const SoftmaxColumns& t, std::ptrdiff_t keys,
                               [[maybe_unused]] const float* before, std::ptrdiff_t column,
                               const Weigh& weigh) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const Vec none = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec maximum[V], sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t at = column + v * lanes;
    maximum[v] = hn::Load(d, t.maximum + at);
    // A lane that has seen no key yet: (-inf) - (-inf) must not be formed.
    maximum[v] = hn::IfThenZeroElse(hn::Eq(maximum[v], none), maximum[v]);
    sum[v] = hn::Load(d, t.sum + at);
    if constexpr (online) {
      const Vec factor = exp2_nonpositive(d, hn::Sub(hn::Load(d, before + at), maximum[v]));
      hn::Store(factor, d, t.factor + at);
      sum[v] = hn::Mul(factor, sum[v]);
    }
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

/// The maxima of all columns, as column_maxima().
template <bool masked>
HWY_INLINE void maxima_of_columns(const SoftmaxColumns& t, std::ptrdiff_t keys,
                                  const std::uint64_t* mask) {
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  std::ptrdiff_t at = 0;
  for (; at + 4 * lanes <= t.columns; at += 4 * lanes) column_maxima<4, masked>(t, keys, mask, at);
  if (at + 2 * lanes <= t.columns) {
    column_maxima<2, masked>(t, keys, mask, at);
    at += 2 * lanes;
  }
  if (at < t.columns) column_maxima<1, masked>(t, keys, mask, at);
}

/// The weights of all columns, as column_weights().
template <bool online, class Weigh = Unweighted>
HWY_INLINE void weights_of_columns(const SoftmaxColumns& t, std::ptrdiff_t keys,
                                   const float* before, const Weigh& weigh = {}) {
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  std::ptrdiff_t at = 0;
  for (; at + 2 * lanes <= t.columns; at += 2 * lanes) {
    column_weights<2, online>(t, keys, before, at, weigh);
  }
  if (at < t.columns) column_weights<1, online>(t, keys, before, at, weigh);
}

/// One block of the online softmax: scores become weights, and maximum, sum and the factor by which
/// what was accumulated before is to shrink are brought up to date. `masked`: bit `lane` of mask[j]
/// lets the lane read key j.
template <bool masked = false, class Weigh = Unweighted>
HWY_INLINE void softmax_columns(const SoftmaxColumns& t, std::ptrdiff_t keys,
                                const std::uint64_t* mask = nullptr, const Weigh& weigh = {}) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  HWY_ALIGN float before[kLaneStride];
  for (std::ptrdiff_t at = 0; at < t.columns; at += lanes) {
    hn::Store(hn::Load(d, t.maximum + at), d, before + at);
  }
  maxima_of_columns<masked>(t, keys, mask);
  weights_of_columns<true>(t, keys, before, weigh);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
