#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/feature_attention.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/exp-inl.h"
#include "kernels/feature_attention.h"
#include "kernels/feature_chunk.h"
#include "kernels/gemm-inl.h"
#include "kernels/op_count.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr std::ptrdiff_t kChunk = kFeatureChunk;  // Row stride of every chunk buffer.
constexpr std::ptrdiff_t kFeatureBlock = 64;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// u[f][lane] = omega x', in base 2 for the exponential map.
void project(const FeatureShape& s, const float* const* rows, std::ptrdiff_t count, float* packed,
             float* u, Upcoming* upcoming) {
  const double base = s.map == FeatureMap::exponential ? std::numbers::log2e : 1.0;
  pack_transposed(rows, count, kChunk, s.dim_qk, static_cast<float>(s.root_scale * base), packed,
                  kChunk);
  gemm<ALayout::row_major>(s.features, kChunk, s.dim_qk, s.omega, s.dim_qk, packed, kChunk, u,
                           kChunk, Old::overwrite, nullptr, upcoming);
  count_ops(count * s.features * s.dim_qk, 0);
}

/// half_norm[lane] = |x'|^2 / 2 in base 2; lanes without a key get infinity, so that their features
/// are zero.
void half_norms(const FeatureShape& s, const float* packed, std::ptrdiff_t count,
                float* half_norm) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  // packed = log2(e) x', so |x'|^2 log2(e) / 2 = |packed|^2 / (2 log2(e)).
  const auto factor = hn::Set(d, static_cast<float>(0.5 / std::numbers::log2e));
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    auto sum = hn::Zero(d);
    for (std::ptrdiff_t k = 0; k < s.dim_qk; ++k) {
      const auto x = hn::Load(d, packed + k * kChunk + at);
      sum = hn::MulAdd(x, x, sum);
    }
    hn::Store(hn::Mul(sum, factor), d, half_norm + at);
  }
  std::fill(half_norm + count, half_norm + kChunk, std::numeric_limits<float>::infinity());
}

HWY_INLINE void scale_row(float* row, std::ptrdiff_t n, float factor) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  for (std::ptrdiff_t i = 0; i < n; i += lanes)
    hn::Store(hn::Mul(f, hn::Load(d, row + i)), d, row + i);
}

HWY_INLINE float exp2_scalar(float x) {
  const hn::CappedTag<float, 1> d1;
  return hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, x)));
}

/// Turns the projections of one feature into its values for a chunk of keys; returns their sum.
HWY_INLINE float exponential_row(float* u, const float* half_norm, FeatureState& state,
                                 std::ptrdiff_t f, std::ptrdiff_t padded_dim_v) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  auto largest = hn::Set(d, kMinusInfinity);
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    const auto t = hn::Sub(hn::Load(d, u + at), hn::Load(d, half_norm + at));
    hn::Store(t, d, u + at);
    largest = hn::Max(largest, t);
  }
  const float chunk_largest = hn::GetLane(hn::MaxOfLanes(d, largest));
  if (chunk_largest > state.shift[f]) {
    const float factor = exp2_scalar(state.shift[f] - chunk_largest);
    scale_row(state.sum + f * padded_dim_v, padded_dim_v, factor);
    state.normaliser[f] *= factor;
    state.shift[f] = chunk_largest;
  }
  const auto shift = hn::Set(d, state.shift[f]);
  auto total = hn::Zero(d);
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    const auto phi = exp2_nonpositive(d, hn::Sub(hn::Load(d, u + at), shift));
    hn::Store(phi, d, u + at);
    total = hn::Add(total, phi);
  }
  return hn::GetLane(hn::SumOfLanes(d, total));
}

HWY_INLINE float rectified_row(float* u, std::ptrdiff_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto floor_value = hn::Set(d, kRectifiedFloor);
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    hn::Store(hn::Add(hn::Max(hn::Zero(d), hn::Load(d, u + at)), floor_value), d, u + at);
  }
  std::fill(u + count, u + kChunk, 0.0F);
  auto total = hn::Zero(d);
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) total = hn::Add(total, hn::Load(d, u + at));
  return hn::GetLane(hn::SumOfLanes(d, total));
}

/// Features of a chunk of keys into b.key_features, their sums into b.key_sums; rescales the state
/// where a feature's largest key is new.
void key_features(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                  const FeatureBuffers& b) {
  const float* rows[kChunk];
  for (std::int64_t j = 0; j < keys.count; ++j) rows[j] = keys.k + j * keys.k_stride;
  project(s, rows, keys.count, b.packed, b.key_features, b.upcoming);
  if (s.map == FeatureMap::exponential) {
    half_norms(s, b.packed, keys.count, b.lanes);
    for (std::ptrdiff_t f = 0; f < s.features; ++f) {
      b.key_sums[f] =
          exponential_row(b.key_features + f * kChunk, b.lanes, state, f, s.padded_dim_v);
    }
    count_ops(0, keys.count * s.features);
  } else {
    for (std::ptrdiff_t f = 0; f < s.features; ++f) {
      b.key_sums[f] = rectified_row(b.key_features + f * kChunk, keys.count);
    }
  }
}

/// S += phi(K)^T V, z += sums.
void add_to_state(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                  const FeatureBuffers& b) {
  const hn::ScalableTag<float> d;
  const float* v = keys.v;
  std::ptrdiff_t v_stride = keys.v_stride;
  if (s.dim_v % static_cast<std::int64_t>(hn::Lanes(d)) != 0) {
    // Whole vectors of a row are read: rows that end within one are copied and padded.
    for (std::int64_t j = 0; j < keys.count; ++j) {
      float* to = b.values + j * s.padded_dim_v;
      std::copy_n(keys.v + j * keys.v_stride, s.dim_v, to);
      std::fill(to + s.dim_v, to + s.padded_dim_v, 0.0F);
    }
    v = b.values;
    v_stride = s.padded_dim_v;
  }
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  gemm<ALayout::row_major>(s.features, (s.dim_v + lanes - 1) / lanes * lanes, keys.count,
                           b.key_features, kChunk, v, v_stride, state.sum, s.padded_dim_v,
                           Old::accumulate);
  for (std::ptrdiff_t f = 0; f < s.features; ++f) state.normaliser[f] += b.key_sums[f];
  count_ops(keys.count * s.features * s.dim_v, 0);
}

void absorb_target(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                   const FeatureBuffers& b) {
  key_features(s, keys, state, b);
  add_to_state(s, keys, state, b);
}

/// Turns projections of features [from, to) into values and adds phi(q) z to the denominators.
void map_queries(const FeatureShape& s, std::ptrdiff_t from, std::ptrdiff_t to,
                 const FeatureState& state, const FeatureBuffers& b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const bool exponential = s.map == FeatureMap::exponential;
  const auto floor_value = hn::Set(d, kRectifiedFloor);
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    const auto largest = hn::Load(d, b.lanes + at);
    auto denominator = hn::Load(d, b.denominator + at);
    for (std::ptrdiff_t f = from; f < to; ++f) {
      float* u = b.query_features + f * kChunk + at;
      const auto raw = hn::Load(d, u);
      const auto phi =
          exponential
              ? exp2_nonpositive(d, hn::Sub(hn::Add(raw, hn::Set(d, state.shift[f])), largest))
              : hn::Add(hn::Max(hn::Zero(d), raw), floor_value);
      hn::Store(phi, d, u);
      denominator = hn::MulAdd(phi, hn::Set(d, state.normaliser[f]), denominator);
    }
    hn::Store(denominator, d, b.denominator + at);
  }
}

/// b.lanes = each query's largest term over all features; zero for the rectified map.
void largest_terms(const FeatureShape& s, const FeatureState& state, const FeatureBuffers& b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  if (s.map != FeatureMap::exponential) {
    std::fill_n(b.lanes, kChunk, 0.0F);
    return;
  }
  for (std::ptrdiff_t at = 0; at < kChunk; at += lanes) {
    auto largest = hn::Set(d, kMinusInfinity);
    for (std::ptrdiff_t f = 0; f < s.features; ++f) {
      largest = hn::Max(largest, hn::Add(hn::Load(d, b.query_features + f * kChunk + at),
                                         hn::Set(d, state.shift[f])));
    }
    hn::Store(largest, d, b.lanes + at);
  }
}

/// Features of up to 64 queries into b.query_features, phi(q) z into b.denominator and phi(q) S
/// into b.output, 64 features at a time: they are used while the first-level cache still has them.
void query_features(const FeatureShape& s, const float* const* rows, std::int64_t count,
                    const FeatureState& state, const FeatureBuffers& b) {
  project(s, rows, count, b.packed, b.query_features, b.upcoming);
  largest_terms(s, state, b);
  std::fill_n(b.denominator, kChunk, 0.0F);
  for (std::ptrdiff_t from = 0; from < s.features; from += kFeatureBlock) {
    const std::ptrdiff_t to = std::min<std::ptrdiff_t>(from + kFeatureBlock, s.features);
    map_queries(s, from, to, state, b);
    gemm<ALayout::col_major>(s.dim_v, kChunk, to - from, state.sum + from * s.padded_dim_v,
                             s.padded_dim_v, b.query_features + from * kChunk, kChunk, b.output,
                             kChunk, from == 0 ? Old::overwrite : Old::accumulate);
  }
  const bool exponential = s.map == FeatureMap::exponential;
  count_ops(count * s.features * (s.dim_v + 1), exponential ? count * s.features : 0);
}

/// O^T += V^T A with A = phi(K) phi(Q)^T under the causal mask, in column blocks of 32 queries so
/// that half of the masked half is never computed.
void add_within_chunk(const FeatureShape& s, const KeyChunk& keys, std::int64_t diagonal,
                      std::int64_t queries, const FeatureBuffers& b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::int64_t column = 0; column < queries; column += kIntraColumns) {
    const std::int64_t visible = visible_keys(keys.count, diagonal, column);
    if (visible == 0) continue;
    gemm<ALayout::col_major>(visible, kIntraColumns, s.features, b.key_features, kChunk,
                             b.query_features + column, kChunk, b.scores + column, kChunk,
                             Old::overwrite);
    for (std::int64_t j = 0; j < visible; ++j) {
      // Query `lane` reads key j when j <= lane + diagonal.
      const std::int64_t first = std::clamp<std::int64_t>(j - diagonal, 0, kChunk);
      float* row = b.scores + j * kChunk;
      if (first > column)
        std::fill(row + column, row + std::min(first, column + kIntraColumns), 0.0F);
      for (std::int64_t at = column; at < column + kIntraColumns; at += lanes) {
        hn::Store(hn::Add(hn::Load(d, b.denominator + at), hn::Load(d, row + at)), d,
                  b.denominator + at);
      }
    }
    gemm<ALayout::col_major>(s.dim_v, kIntraColumns, visible, keys.v, keys.v_stride,
                             b.scores + column, kChunk, b.output + column, kChunk, Old::accumulate);
    count_ops(visible * std::min(kIntraColumns, queries - column) * (s.features + s.dim_v), 0);
  }
}

void answer_target(const FeatureShape& s, const QueryChunk& queries, const KeyChunk* within,
                   std::int64_t diagonal, const FeatureState& state, const FeatureBuffers& b) {
  query_features(s, queries.rows, queries.count, state, b);
  if (within != nullptr) add_within_chunk(s, *within, diagonal, queries.count, b);
  for (std::int64_t lane = 0; lane < queries.count; ++lane) {
    const float denominator = b.denominator[lane];
    b.lanes[lane] = denominator > 0 ? 1 / denominator : 0;
  }
  unpack_transposed(b.output, kChunk, b.lanes, queries.count, s.dim_v, queries.out);
}

/// into = into + from, each brought to the larger shift.
void merge_target(const FeatureShape& s, const FeatureState& from, FeatureState& into) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t f = 0; f < s.features; ++f) {
    const float shift = std::max(from.shift[f], into.shift[f]);
    const bool any = shift > kMinusInfinity;
    const float from_factor = any ? exp2_scalar(from.shift[f] - shift) : 1;
    const float into_factor = any ? exp2_scalar(into.shift[f] - shift) : 1;
    const float* a = from.sum + f * s.padded_dim_v;
    float* c = into.sum + f * s.padded_dim_v;
    for (std::ptrdiff_t i = 0; i < s.padded_dim_v; i += lanes) {
      const auto scaled = hn::Mul(hn::Load(d, c + i), hn::Set(d, into_factor));
      hn::Store(hn::MulAdd(hn::Load(d, a + i), hn::Set(d, from_factor), scaled), d, c + i);
    }
    into.normaliser[f] = into.normaliser[f] * into_factor + from.normaliser[f] * from_factor;
    into.shift[f] = shift;
  }
}

}  // namespace

void absorb_entry(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                  const FeatureBuffers& b) {
  absorb_target(s, keys, state, b);
}
void key_features_entry(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                        const FeatureBuffers& b) {
  key_features(s, keys, state, b);
}
void add_to_state_entry(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                        const FeatureBuffers& b) {
  add_to_state(s, keys, state, b);
}
void answer_entry(const FeatureShape& s, const QueryChunk& queries, const KeyChunk* within,
                  std::int64_t diagonal, const FeatureState& state, const FeatureBuffers& b) {
  answer_target(s, queries, within, diagonal, state, b);
}
void merge_entry(const FeatureShape& s, const FeatureState& from, FeatureState& into) {
  merge_target(s, from, into);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(absorb_entry);
HWY_EXPORT(key_features_entry);
HWY_EXPORT(add_to_state_entry);
HWY_EXPORT(answer_entry);
HWY_EXPORT(merge_entry);
}  // namespace

void absorb_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                 const FeatureBuffers& b) {
  HWY_DYNAMIC_DISPATCH(absorb_entry)(s, keys, state, b);
}

void map_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
              const FeatureBuffers& b) {
  HWY_DYNAMIC_DISPATCH(key_features_entry)(s, keys, state, b);
}

void add_mapped_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                     const FeatureBuffers& b) {
  HWY_DYNAMIC_DISPATCH(add_to_state_entry)(s, keys, state, b);
}

void answer_queries(const FeatureShape& s, const QueryChunk& queries, const KeyChunk* within,
                    std::int64_t diagonal, const FeatureState& state, const FeatureBuffers& b) {
  HWY_DYNAMIC_DISPATCH(answer_entry)(s, queries, within, diagonal, state, b);
}

void merge_states(const FeatureShape& s, const FeatureState& from, FeatureState& into) {
  HWY_DYNAMIC_DISPATCH(merge_entry)(s, from, into);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
