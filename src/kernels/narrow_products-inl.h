// The products and the softmax of a few lanes, with vectors along the head dimension: keys and
// values are streamed row by row. Compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_NARROW_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_NARROW_PRODUCTS_INL_H_
#undef ATTNBENCH_KERNELS_NARROW_PRODUCTS_INL_H_
#else
#define ATTNBENCH_KERNELS_NARROW_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <limits>

#include "kernels/block_sums-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/in_register-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct NarrowBuffers {
  float* q;       // [lanes][D padded to 16], scaled by scale * log2(e)
  float* scores;  // [lanes][score_stride]
  float* acc;     // [lanes][Dv padded to 16]
  std::ptrdiff_t q_stride;
  std::ptrdiff_t score_stride;  // A row is written up to 15 floats beyond its last score.
  std::ptrdiff_t acc_stride;
  float maximum[kNarrowLanes];
  float sum[kNarrowLanes];
};

// Register tiles: keys x lanes for scores, lanes x 4 vectors for values, in 32 registers or 16.
constexpr int kScoreLanes = 4;
#if HWY_TARGET <= HWY_AVX3
constexpr int kScoreKeys = 4;
constexpr int kValueLanes = 4;
#else
constexpr int kScoreKeys = 2;
constexpr int kValueLanes = 2;
#endif
constexpr int kValueVectors = 4;
// So few lanes take a row of twice as many at once: each pass over a part of the rows is a stream
// that begins anew with every row.
#if HWY_TARGET <= HWY_AVX3
constexpr int kWideLanes = 2;
#else
constexpr int kWideLanes = 1;
#endif

/// to[i] = the sum of x[i], for four vectors: with a quarter of the shuffles of four separate sums.
template <class D>
HWY_INLINE void store_four_sums([[maybe_unused]] D d, const hn::Vec<D>* x, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) to[i] = hn::GetLane(x[i]);
#else
  if constexpr (hn::MaxLanes(d) > 4) {
    const hn::Half<D> half;
    hn::Vec<hn::Half<D> > y[4];
    for (int i = 0; i < 4; ++i) {
      y[i] = hn::Add(hn::LowerHalf(half, x[i]), hn::UpperHalf(half, x[i]));
    }
    store_four_sums(half, y, to);
  } else {
    const hn::Vec<D> four[4] = {x[0], x[1], x[2], x[3]};
    hn::StoreU(four_block_sums(d, four), d, to);
  }
#endif
}

/// Rows of keys or values of one block.
struct NarrowRows {
  const float* data;
  std::ptrdiff_t stride;
  std::ptrdiff_t keys;
  std::ptrdiff_t dim;
  std::ptrdiff_t column;  // Of its first key in the group's scores.
};

/// scores[lane][j] = q[lane] . k[j] for lanes [first, first + L), a few keys at a time.
template <int L>
HWY_INLINE void narrow_score_lanes(const NarrowRows& k, int first, const NarrowBuffers& b,
                                   const RowsAhead& ahead) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  // A query or two have little to do for each key: rows arrive fastest when they are read one after
  // the other, as they lie. Later lanes find them in the nearest cache.
  constexpr bool kRowByRow = L <= 2;
  constexpr int kKeys = kRowByRow ? 4 : kScoreKeys;
  constexpr int kSums = (L * kKeys + 3) / 4 * 4;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t dim = k.dim, whole = dim / lanes * lanes;
  const auto tail = hn::FirstN(d, static_cast<std::size_t>(dim - whole));
  const float* queries = b.q + first * b.q_stride;
  for (std::ptrdiff_t j = 0; j < k.keys; j += kKeys) {
    ahead.fetch(j, j + kKeys);
    // Beyond the last key it is taken again; what comes of it is overwritten.
    const float* rows[kKeys];
#pragma GCC unroll 4
    for (int i = 0; i < kKeys; ++i) rows[i] = k.data + std::min(j + i, k.keys - 1) * k.stride;
    Vec acc[kSums];  // By lane, then key.
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) acc[i] = hn::Zero(d);
    if constexpr (kRowByRow) {
#pragma GCC unroll 4
      for (int i = 0; i < kKeys; ++i) {
        for (std::ptrdiff_t at = 0; at < dim; at += lanes) {
          Vec x = at < whole ? hn::LoadU(d, rows[i] + at) : hn::MaskedLoad(tail, d, rows[i] + at);
          if constexpr (L > 1) x = in_register(x);
#pragma GCC unroll 2
          for (int lane = 0; lane < L; ++lane) {
            acc[lane * kKeys + i] =
                hn::MulAdd(hn::Load(d, queries + lane * b.q_stride + at), x, acc[lane * kKeys + i]);
          }
        }
      }
    } else {
      for (std::ptrdiff_t at = 0; at < dim; at += lanes) {
        Vec x[kKeys];
#pragma GCC unroll 4
        for (int i = 0; i < kKeys; ++i) {
          x[i] = in_register(at < whole ? hn::LoadU(d, rows[i] + at)
                                        : hn::MaskedLoad(tail, d, rows[i] + at));
        }
#pragma GCC unroll 4
        for (int lane = 0; lane < L; ++lane) {
          const Vec q = in_register(hn::Load(d, queries + lane * b.q_stride + at));
#pragma GCC unroll 4
          for (int i = 0; i < kKeys; ++i) {
            acc[lane * kKeys + i] = hn::MulAdd(q, x[i], acc[lane * kKeys + i]);
          }
        }
      }
    }
    float* to = b.scores + first * b.score_stride + k.column + j;
    if constexpr (kKeys == 4) {
#pragma GCC unroll 4
      for (int lane = 0; lane < L; ++lane) {
        store_four_sums(d, acc + 4 * lane, to + lane * b.score_stride);
      }
    } else {
      float sums[kSums];
#pragma GCC unroll 4
      for (int i = 0; i < kSums; i += 4) store_four_sums(d, acc + i, sums + i);
      for (int lane = 0; lane < L; ++lane) {
        std::copy_n(sums + lane * kKeys, kKeys, to + lane * b.score_stride);
      }
    }
  }
}

/// scores[lane][j] = q[lane] . k[j] for a block of keys: the keys come from memory for the first
/// lanes, and from the nearest cache for the others.
template <int L>
HWY_INLINE void narrow_scores(const NarrowRows& k, const NarrowBuffers& b, RowsAhead ahead) {
  int lane = 0;
  for (; lane + kScoreLanes <= L; lane += kScoreLanes) {
    narrow_score_lanes<kScoreLanes>(k, lane, b, ahead);
    ahead.count = 0;
  }
  if constexpr (L % kScoreLanes > 0) {
    narrow_score_lanes<L % kScoreLanes>(k, lane, b, ahead);
  }
}

/// Turns one lane's scores into weights; returns the factor for what was accumulated before.
HWY_INLINE float narrow_softmax(float* scores, std::ptrdiff_t keys, float& maximum, float& sum) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  // Padded to whole vectors with scores that weigh nothing.
  const std::ptrdiff_t padded = (keys + lanes - 1) / lanes * lanes;
  std::fill(scores + keys, scores + padded, kMinusInfinity);
  auto largest = hn::Set(d, maximum);
  for (std::ptrdiff_t j = 0; j < padded; j += lanes) {
    largest = hn::Max(largest, hn::Load(d, scores + j));
  }
  const float old = maximum;
  maximum = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float shift = maximum == kMinusInfinity ? 0 : maximum;
  auto total = hn::Zero(d);
  for (std::ptrdiff_t j = 0; j < padded; j += lanes) {
    const auto p = exp2_nonpositive(d, hn::Sub(hn::Load(d, scores + j), hn::Set(d, shift)));
    hn::Store(p, d, scores + j);
    total = hn::Add(total, p);
  }
  const float factor = hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, old - shift)));
  sum = sum * factor + hn::GetLane(hn::SumOfLanes(d, total));
  return factor;
}

/// acc[lane][at, at + V vectors) = acc * factor + sum over j of weight[lane][j] v[j], for lanes
/// [first, first + L).
template <int L, int V>
HWY_INLINE void narrow_value_lanes(const NarrowRows& v, std::ptrdiff_t at, int first,
                                   const float* factor, const NarrowBuffers& b,
                                   const RowsAhead& ahead) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  Vec acc[L][V];
  float* to = b.acc + first * b.acc_stride + at;
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      acc[lane][i] = hn::Mul(hn::Set(d, factor[first + lane]),
                             hn::Load(d, to + lane * b.acc_stride + i * lanes));
    }
  }
  // Only the last vector of a row can be partial, and it comes here alone (V = 1).
  const bool partial = at + V * lanes > v.dim;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(partial ? v.dim - at : lanes));
  const float* weights = b.scores + first * b.score_stride + v.column;
  for (std::ptrdiff_t j = 0; j < v.keys; ++j) {
    ahead.fetch(j, j + 1);
    const float* row = v.data + j * v.stride + at;
    Vec weight[L];
#pragma GCC unroll 4
    for (int lane = 0; lane < L; ++lane) {
      weight[lane] = hn::Set(d, weights[lane * b.score_stride + j]);
      if constexpr (V > 1) weight[lane] = in_register(weight[lane]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      Vec x = V == 1 && partial ? hn::MaskedLoad(mask, d, row) : hn::LoadU(d, row + i * lanes);
      if constexpr (L > 1) x = in_register(x);
#pragma GCC unroll 4
      for (int lane = 0; lane < L; ++lane) {
        acc[lane][i] = hn::MulAdd(weight[lane], x, acc[lane][i]);
      }
    }
  }
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      hn::Store(acc[lane][i], d, to + lane * b.acc_stride + i * lanes);
    }
  }
}

/// The weighted values of a block for lanes [first, first + L).
template <int L>
HWY_INLINE void narrow_value_rows(const NarrowRows& v, int first, const float* factor,
                                  const NarrowBuffers& b, RowsAhead ahead) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  if constexpr (L <= kWideLanes) {
    constexpr int kWide = 2 * kValueVectors;
    for (; at + kWide * lanes <= v.dim; at += kWide * lanes) {
      narrow_value_lanes<L, kWide>(v, at, first, factor, b, ahead);
      ahead.count = 0;
    }
  }
  for (; at + kValueVectors * lanes <= v.dim; at += kValueVectors * lanes) {
    narrow_value_lanes<L, kValueVectors>(v, at, first, factor, b, ahead);
    ahead.count = 0;
  }
  for (; at < v.dim; at += lanes) {
    narrow_value_lanes<L, 1>(v, at, first, factor, b, ahead);
    ahead.count = 0;
  }
}

/// The weighted values of a block for lanes [First, L).
template <int L, int First>
HWY_INLINE void narrow_later_values(const NarrowRows& v, const float* factor,
                                    const NarrowBuffers& b, RowsAhead ahead) {
  int lane = First;
  for (; lane + kValueLanes <= L; lane += kValueLanes) {
    narrow_value_rows<kValueLanes>(v, lane, factor, b, ahead);
    ahead.count = 0;
  }
  if constexpr ((L - First) % kValueLanes > 0) {
    narrow_value_rows<(L - First) % kValueLanes>(v, lane, factor, b, ahead);
  }
}

/// The weighted values of a block. Where all lanes together would take rows in parts and the rows
/// are `far`, the first lanes take them whole, and the others find them in the nearest cache.
template <int L>
HWY_INLINE void narrow_values(const NarrowRows& v, bool far, const float* factor,
                              const NarrowBuffers& b, RowsAhead ahead) {
  if constexpr (L > kWideLanes) {
    const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
    if (far && v.dim > kValueVectors * lanes) {
      narrow_value_rows<kWideLanes>(v, 0, factor, b, ahead);
      ahead.count = 0;
      return narrow_later_values<L, kWideLanes>(v, factor, b, ahead);
    }
  }
  narrow_later_values<L, 0>(v, factor, b, ahead);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
