#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/op_count.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax.h"
#include "kernels/scored_softmax_pairs.h"
#include "kernels/scored_softmax_terms-inl.h"
#include "kernels/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Rows of the second layer that are computed and reduced together: 24 x 64 floats, so that they
/// and the first layer's 64 x 64 stay in the first-level cache.
constexpr std::int64_t kSecondRows = 24;

/// A tile's part of the score; kLaneStride floats per row.
struct QuerySide {
  float* packed;     // [D], transposed queries
  float* exponents;  // [hidden_rows]
  float* powers;     // [hidden_rows], 2^exponents within +-kQueryReach
  float* first;      // [hidden_rows], 1 / (1 + E F) of one key (two layers)
  float* second;     // [kSecondRows] (two layers)
  float reach;       // Largest exponent.
};

void project_queries(const PairScore& s, const LaneTile& tile, std::ptrdiff_t columns,
                     QuerySide& q) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  pack_transposed(tile.q_rows, tile.queries.lanes, columns, s.dim, 1.0F, q.packed, kLaneStride);
  gemm<ALayout::row_major>(s.hidden_rows, columns, s.dim, s.query_weights.data(), s.dim, q.packed,
                           kLaneStride, q.exponents, kLaneStride, Old::overwrite);
  const auto reach = hn::Set(d, kQueryReach);
  auto largest = hn::Neg(reach);
  for (std::ptrdiff_t a = 0; a < s.hidden_rows; ++a) {
    const auto bias = hn::Set(d, s.query_bias.data()[a]);
    for (std::ptrdiff_t at = a * kLaneStride; at < a * kLaneStride + columns; at += lanes) {
      const auto w = hn::Add(hn::Load(d, q.exponents + at), bias);
      hn::Store(w, d, q.exponents + at);
      largest = hn::Max(largest, w);
      const auto clamped = hn::Max(hn::Min(w, reach), hn::Neg(reach));
      hn::Store(exp2_nonpositive(d, clamped), d, q.powers + at);
    }
  }
  q.reach = hn::GetLane(hn::MaxOfLanes(d, largest));
  count_ops(tile.queries.lanes * s.hidden * s.dim, tile.queries.lanes * s.hidden);
}

/// -sum_a v_a / (1 + E_a F_a) for V vectors of lanes and one key. `kCapped`: some 1 + E_a F_a may
/// exceed kTanhCap.
template <int V, bool kCapped>
HWY_INLINE void additive_vectors(const PairScore& s, const float* HWY_RESTRICT powers,
                                 const float* HWY_RESTRICT f, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const float* HWY_RESTRICT weight = s.weights.data();
  const Vec one = hn::Set(d, 1.0F), cap = hn::Set(d, kTanhCap);
  Vec sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) sum[v] = hn::Zero(d);
  for (std::ptrdiff_t a = 0; a < s.hidden_rows; a += 4) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const float* e = powers + a * kLaneStride + v * lanes;
      const auto factor = [&](std::ptrdiff_t i) {
        const Vec x = hn::MulAdd(hn::Load(d, e + i * kLaneStride), hn::Set(d, f[a + i]), one);
        return kCapped ? hn::Min(x, cap) : x;
      };
      const auto n = [&](std::ptrdiff_t i) { return hn::Set(d, weight[a + i]); };
      // Of four divisions of 512 bits, three take as long as the products beside them.
      const Quotient how = v == 3 ? Quotient::reciprocal : Quotient::division;
      sum[v] = hn::Sub(sum[v], sum_of_quotients(d, n(0), factor(0), n(1), factor(1), n(2),
                                                factor(2), n(3), factor(3), how));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) hn::Store(sum[v], d, out + v * lanes);
}

template <bool kCapped>
HWY_INLINE void additive_key(const PairScore& s, const QuerySide& q, const float* f,
                             std::ptrdiff_t columns, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  constexpr int kVectors = kGemmVectors;  // As many as registers allow.
  std::ptrdiff_t at = 0;
  for (; at + kVectors * lanes <= columns; at += kVectors * lanes) {
    additive_vectors<kVectors, kCapped>(s, q.powers + at, f, out + at);
  }
  for (; at < columns; at += lanes) additive_vectors<1, kCapped>(s, q.powers + at, f, out + at);
}

/// The same of a key that is kept as exponents.
void additive_far_key(const PairScore& s, const QuerySide& q, const float* exponents,
                      std::ptrdiff_t columns, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
    auto sum = hn::Zero(d);
    for (std::ptrdiff_t a = 0; a < s.hidden; ++a) {
      const auto w =
          hn::Add(hn::Load(d, q.exponents + a * kLaneStride + at), hn::Set(d, exponents[a]));
      sum = hn::NegMulAdd(hn::Set(d, s.weights.data()[a]), falling_logistic(d, w), sum);
    }
    hn::Store(sum, d, out + at);
  }
}

/// First of two layers for one key: q.first[a] = 1 / (1 + E_a F_a).
HWY_INLINE void first_layer(const PairScore& s, const QuerySide& q, const float* f, bool far,
                            std::ptrdiff_t columns) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0F), cap = hn::Set(d, kTanhCap);
  for (std::ptrdiff_t a = 0; a < s.hidden; ++a) {
    const auto key = hn::Set(d, f[a]);
    const std::ptrdiff_t row = a * kLaneStride;
    for (std::ptrdiff_t at = row; at < row + columns; at += lanes) {
      const auto r =
          far ? falling_logistic(d, hn::Add(hn::Load(d, q.exponents + at), key))
              : fast_reciprocal(d, hn::Min(hn::MulAdd(hn::Load(d, q.powers + at), key, one), cap));
      hn::Store(r, d, q.first + at);
    }
  }
}

/// -sum over rows of w3 / (1 + 2^(second + bias)) is added to `out`.
HWY_INLINE void reduce_second(const PairScore& s, const float* second, std::int64_t from,
                              std::int64_t rows, std::ptrdiff_t columns, float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0F), top = hn::Set(d, kTanhReach);
  const float* bias = s.second_bias.data() + from;
  const float* weight = s.weights.data() + from;
  for (std::ptrdiff_t at = 0; at < columns; at += lanes) {
    auto sum = hn::Load(d, out + at);
    for (std::ptrdiff_t r = 0; r < rows; r += 4) {
      const auto factor = [&](std::ptrdiff_t i) {
        const auto w =
            hn::Add(hn::Load(d, second + (r + i) * kLaneStride + at), hn::Set(d, bias[r + i]));
        return hn::Add(exp2_nonpositive(d, hn::Min(w, top)), one);
      };
      const auto n = [&](std::ptrdiff_t i) { return hn::Set(d, weight[r + i]); };
      sum = hn::Sub(sum, sum_of_quotients(d, n(0), factor(0), n(1), factor(1), n(2), factor(2),
                                          n(3), factor(3)));
    }
    hn::Store(sum, d, out + at);
  }
}

void two_layer_key(const PairScore& s, const QuerySide& q, const float* f, bool far,
                   std::ptrdiff_t columns, float* out) {
  first_layer(s, q, f, far, columns);
  std::fill_n(out, columns, 0.0F);
  for (std::int64_t from = 0; from < s.output_rows; from += kSecondRows) {
    const std::int64_t rows = std::min(kSecondRows, s.output_rows - from);
    gemm<ALayout::row_major>(rows, columns, s.hidden, s.second.data() + from * s.hidden_rows,
                             s.hidden_rows, q.first, kLaneStride, q.second, kLaneStride,
                             Old::overwrite);
    reduce_second(s, q.second, from, rows, columns, out);
  }
}

/// What drops out of a softmax, but neither of a soft cap nor beside a sink.
void add_constant(float constant, std::ptrdiff_t keys, std::ptrdiff_t columns, float* scores) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    for (std::ptrdiff_t at = j * kLaneStride; at < j * kLaneStride + columns; at += lanes) {
      hn::Store(hn::Add(hn::Load(d, scores + at), hn::Set(d, constant)), d, scores + at);
    }
  }
}

void run_tile_target(const PairTile& job) {
  const PairScore& s = job.score;
  const int lanes = job.tile.queries.lanes;
  const OnlineTile t = start_tile(job.scratch, job.dim_v, lanes);
  QuerySide q{};
  q.packed = t.factor + kLaneStride;
  q.exponents = q.packed + s.dim * kLaneStride;
  q.powers = q.exponents + s.hidden_rows * kLaneStride;
  q.first = q.powers + s.hidden_rows * kLaneStride;
  q.second = q.first + s.hidden_rows * kLaneStride;
  project_queries(s, job.tile, t.columns, q);
  const TileTerms terms(job.shaping, job.tile.queries);
  terms.start(t);
  const auto score = [&](std::int64_t begin, std::ptrdiff_t keys) {
    std::int64_t far_keys = 0;
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      const float* f = job.keys + (begin + j) * s.hidden_stride;
      const bool far = !(job.reach[begin + j] <= kKeyReach);
      float* out = t.scores + j * kLaneStride;
      if (s.outputs > 0) {
        two_layer_key(s, q, f, far, t.columns, out);
      } else if (far) {
        additive_far_key(s, q, f, t.columns, out);
      } else if (job.reach[begin + j] + q.reach <= kTanhReach) {
        additive_key<false>(s, q, f, t.columns, out);
      } else {
        additive_key<true>(s, q, f, t.columns, out);
      }
      far_keys += far ? 1 : 0;
    }
    if (job.shaping.terms != nullptr) add_constant(s.constant, keys, t.columns, t.scores);
    terms.shape(begin, keys, t.columns, t.scores);
    const PairOps ops = pair_ops(s.hidden, s.outputs);
    count_ops(keys * lanes * (ops.multiply_adds + job.dim_v),
              keys * lanes * (ops.exps + 1) + lanes + far_keys * lanes * s.hidden);
  };
  online_softmax(job.tile.queries, job.pattern, job.runs, {job.v, job.v_stride, job.dim_v}, t,
                 score, [](std::int64_t) { return Unweighted(); });
  finish_tile(t, job.tile, job.dim_v);
}

void project_keys_target(const PairScore& s, const float* k, std::ptrdiff_t k_stride,
                         std::int64_t count, float* keys, float* reach) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  gemm<ALayout::row_major>(count, s.hidden_stride, s.dim, k, k_stride, s.key_weights.data(),
                           s.hidden_stride, keys, s.hidden_stride, Old::overwrite);
  for (std::int64_t j = 0; j < count; ++j) {
    float* row = keys + j * s.hidden_stride;
    auto largest = hn::Zero(d);
    for (std::ptrdiff_t a = 0; a < s.hidden_stride; a += lanes) {
      largest = hn::Max(largest, hn::Abs(hn::Load(d, row + a)));
    }
    reach[j] = hn::GetLane(hn::MaxOfLanes(d, largest));
    if (!(reach[j] <= kKeyReach)) continue;
    for (std::ptrdiff_t a = 0; a < s.hidden_stride; a += lanes) {
      hn::Store(exp2_nonpositive(d, hn::Load(d, row + a)), d, row + a);
    }
  }
  count_ops(count * s.hidden * s.dim, count * s.hidden);
}

}  // namespace

void pair_tile_entry(const PairTile& job) { run_tile_target(job); }
void pair_keys_entry(const PairScore& s, const float* k, std::ptrdiff_t k_stride,
                     std::int64_t count, float* keys, float* reach) {
  project_keys_target(s, k, k_stride, count, keys, reach);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(pair_tile_entry);
HWY_EXPORT(pair_keys_entry);
}  // namespace

void run_pair_tile(const PairTile& job) { HWY_DYNAMIC_DISPATCH(pair_tile_entry)(job); }

void project_pair_keys(const PairScore& s, const float* k, std::ptrdiff_t k_stride,
                       std::int64_t count, float* keys, float* reach) {
  HWY_DYNAMIC_DISPATCH(pair_keys_entry)(s, k, k_stride, count, keys, reach);
}

std::size_t pair_tile_floats(std::int64_t dim_qk, std::int64_t dim_v, std::int64_t hidden,
                             std::int64_t outputs) {
  const std::int64_t hidden_rows = (hidden + 3) / 4 * 4;
  const std::int64_t two_layer_rows = outputs > 0 ? hidden_rows + HWY_NAMESPACE::kSecondRows : 0;
  return static_cast<std::size_t>(
      (kKeyBlock + dim_v + 3 + dim_qk + 2 * hidden_rows + two_layer_rows) * kTileQueries);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
