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
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_rows-inl.h"
#include "kernels/scored_softmax_window.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// exp(-x^2 / (2 sigma^2)) = 2^(-c x^2) with sigma = window / 2.
float gaussian_factor(std::int64_t window) {
  const auto w = static_cast<double>(window);
  return static_cast<float>(2 * std::numbers::log2e / (w * w));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gaussian(D d, V distance, V factor) {
  return exp2_nonpositive(d, hn::Neg(hn::Mul(factor, hn::Mul(distance, distance))));
}

void monotonic_target(const MonotonicTile& job) {
  const Problem& p = job.problem;
  const int lanes = job.tile.queries.lanes;
  const OnlineTile t = start_tile(job.scratch, p.dim_v, lanes);
  float* packed = t.factor + kLaneStride;
  pack_transposed(job.tile.q_rows, lanes, t.columns, p.dim_qk,
                  static_cast<float>(std::numbers::log2e), packed, kLaneStride);
  const auto score = [&](std::int64_t begin, std::ptrdiff_t keys) {
    gemm<ALayout::row_major>(keys, t.columns, p.dim_qk, job.k + begin * job.k_stride, job.k_stride,
                             packed, kLaneStride, t.scores, kLaneStride, Old::overwrite);
    count_ops(keys * lanes * (p.dim_qk + p.dim_v), 2 * keys * lanes + lanes);
  };
  const auto weigh = [&](std::int64_t begin, std::ptrdiff_t keys) {
    const hn::ScalableTag<float> d;
    const auto vector = static_cast<std::ptrdiff_t>(hn::Lanes(d));
    const auto factor = hn::Set(d, gaussian_factor(job.window));
    alignas(64) float position[kTileQueries] = {};
    for (int lane = 0; lane < lanes; ++lane) {
      position[lane] = static_cast<float>(job.tile.queries.position[lane] + p.diagonal() - begin);
    }
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      for (std::ptrdiff_t at = 0; at < t.columns; at += vector) {
        float* to = t.scores + j * kLaneStride + at;
        const auto distance =
            hn::Sub(hn::Set(d, static_cast<float>(j)), hn::Load(d, position + at));
        hn::Store(hn::Mul(hn::Load(d, to), gaussian(d, distance, factor)), d, to);
      }
    }
  };
  online_softmax(job.tile.queries, job.pattern, job.runs, {job.v, job.v_stride, p.dim_v}, t, score,
                 weigh);
  finish_tile(t, job.tile, p.dim_v);
}

/// Weights of the network times 1 / (1 + 2^w) for `V` vectors of queries, packed [dim][32].
template <int V>
HWY_INLINE void predict_vectors(const PositionNetwork& net, const double* packed, double keys,
                                double* positions) {
  const hn::ScalableTag<double> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const Vec one = hn::Set(d, 1.0), far = hn::Set(d, 200.0);
  Vec sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) sum[v] = hn::Zero(d);
  for (std::int64_t a = 0; a < net.rows; a += 4) {
    const double* w = net.w.data() + a * net.dim;
    Vec x[4][V];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) x[r][v] = hn::Zero(d);
    }
    for (std::int64_t i = 0; i < net.dim; ++i) {
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const Vec element = hn::Set(d, w[r * net.dim + i]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const Vec q = hn::Load(d, packed + i * kPredictedQueries + v * lanes);
          x[r][v] = hn::MulAdd(element, q, x[r][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const auto n = [&](int r) { return hn::Set(d, net.v[static_cast<std::size_t>(a + r)]); };
      const auto factor = [&](int r) {
        // Four factors up to 2^200 have a finite product.
        return hn::Add(one, exp2_f64(d, hn::Max(hn::Min(x[r][v], far), hn::Neg(far))));
      };
      sum[v] = hn::Add(sum[v], sum_of_quotients(d, n(0), factor(0), n(1), factor(1), n(2),
                                                factor(2), n(3), factor(3)));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    // z = sum v tanh = sum v - 2 sum v / (1 + 2^w); p = Nk / (1 + e^-z).
    const Vec z = hn::NegMulAdd(hn::Set(d, 2.0), sum[v], hn::Set(d, net.v_sum));
    const Vec exponent = hn::Mul(z, hn::Set(d, -std::numbers::log2e));
    const Vec limit = hn::Set(d, 1000.0);
    const Vec power = exp2_f64(d, hn::Max(hn::Min(exponent, limit), hn::Neg(limit)));
    hn::Store(hn::Div(hn::Set(d, keys), hn::Add(one, power)), d, positions + v * lanes);
  }
}

/// Predicted positions of a tile's queries.
void predict(const PredictiveTile& job, double* packed, double* positions) {
  const PositionNetwork& net = job.network;
  const int queries = job.tile.queries.lanes;
  for (std::int64_t i = 0; i < net.dim; ++i) {
    double* row = packed + i * kPredictedQueries;
    for (int lane = 0; lane < queries; ++lane) {
      row[lane] = static_cast<double>(job.tile.q_rows[lane][i]);
    }
    std::fill(row + queries, row + kPredictedQueries, 0.0);
  }
  constexpr int kVectors = kGemmVectors;
  const auto step = kVectors * static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<double>()));
  for (std::ptrdiff_t at = 0; at < queries; at += step) {
    predict_vectors<kVectors>(net, packed + at, static_cast<double>(job.problem.seq_k),
                              positions + at);
  }
  count_ops(queries * net.hidden * net.dim, queries * (net.hidden + 1));
}

/// Softmax over weights[low, high) times the Gaussian at `center`; the rest of [0, count) is zero.
/// Returns 1 / sum. The buffer has room for whole vectors.
float weigh_row(float* weights, std::int64_t count, std::int64_t low, std::int64_t high,
                float center, float factor) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const std::int64_t padded = (count + lanes - 1) / lanes * lanes;
  std::fill(weights, weights + low, -std::numeric_limits<float>::infinity());
  std::fill(weights + high, weights + padded, -std::numeric_limits<float>::infinity());
  auto maximum = none;
  for (std::int64_t j = 0; j < padded; j += lanes) {
    maximum = hn::Max(maximum, hn::Load(d, weights + j));
  }
  maximum = hn::MaxOfLanes(d, maximum);
  auto sum = hn::Zero(d);
  for (std::int64_t j = 0; j < padded; j += lanes) {
    const auto w = exp2_nonpositive(d, hn::Sub(hn::Load(d, weights + j), maximum));
    const auto distance = hn::Sub(hn::Iota(d, static_cast<float>(j)), hn::Set(d, center));
    sum = hn::Add(sum, w);
    hn::Store(hn::Mul(w, gaussian(d, distance, hn::Set(d, factor))), d, weights + j);
  }
  return 1 / hn::GetLane(hn::SumOfLanes(d, sum));
}

void predictive_target(const PredictiveTile& job) {
  const Problem& p = job.problem;
  auto* packed = reinterpret_cast<double*>(job.scratch);
  float* weights = job.scratch + 2 * p.dim_qk * kPredictedQueries;
  alignas(64) double positions[kPredictedQueries + 32];
  predict(job, packed, positions);
  const float factor = gaussian_factor(job.window);
  const auto reach = static_cast<double>(job.window);
  for (int lane = 0; lane < job.tile.queries.lanes; ++lane) {
    const std::int64_t keys =
        allowed_keys(p, job.tile.queries.batch, job.tile.queries.position[lane]);
    const std::int64_t count = std::min(2 * job.window + 1, keys);
    const double center = positions[lane];
    const auto inside = [&](double s) {
      return static_cast<std::int64_t>(std::clamp(s, 0.0, static_cast<double>(keys)));
    };
    const std::int64_t low = inside(std::ceil(center - reach));
    const std::int64_t high = inside(std::floor(center + reach) + 1);
    const std::int64_t begin = std::min(low, keys - count);
    const float* k = job.k + begin * job.k_stride;
    const float* v = job.v + begin * job.v_stride;
    row_dots(job.tile.q_rows[lane], k, job.k_stride, count, p.dim_qk,
             static_cast<float>(std::numbers::log2e), weights);
    float inverse_sum = 0;
    if (low < high) {
      inverse_sum = weigh_row(weights, count, low - begin, high - begin,
                              static_cast<float>(center - static_cast<double>(begin)), factor);
    } else {
      std::fill_n(weights, count, 0.0F);
    }
    weighted_rows(
        weights, [&](std::ptrdiff_t t) { return v + t * job.v_stride; }, count, p.dim_v,
        inverse_sum, job.tile.out_rows[lane]);
    count_ops(count * (p.dim_qk + p.dim_v), 2 * count);
  }
}

}  // namespace

void monotonic_entry(const MonotonicTile& job) { monotonic_target(job); }
void predictive_entry(const PredictiveTile& job) { predictive_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(monotonic_entry);
HWY_EXPORT(predictive_entry);
}  // namespace

void run_monotonic_tile(const MonotonicTile& job) { HWY_DYNAMIC_DISPATCH(monotonic_entry)(job); }
void run_predictive_tile(const PredictiveTile& job) { HWY_DYNAMIC_DISPATCH(predictive_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
