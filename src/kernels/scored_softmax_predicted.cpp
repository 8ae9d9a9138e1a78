#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_predicted.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/exp-inl.h"
#include "kernels/op_count.h"
#include "kernels/scored_softmax_rows-inl.h"
#include "kernels/scored_softmax_terms-inl.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// c of exp(-x^2 / (2 sigma^2)) = 2^(-c x^2) with sigma = window / 2.
float gaussian_factor(std::int64_t window) {
  const auto w = static_cast<double>(window);
  return static_cast<float>(2 * std::numbers::log2e / (w * w));
}

/// 2^(-factor distance^2). Type: float32.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gaussian(D d, V distance, V factor) {
  return exp2_nonpositive(d, hn::Neg(hn::Mul(factor, hn::Mul(distance, distance))));
}

/// Register tile of the network's product: 4 queries x 4 vectors of hidden units, x 2 where there
/// are 16 registers.
constexpr int kQueries = kNetworkQueries;
#if HWY_TARGET <= HWY_AVX3
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

/// units[r][a, a + kVectors vectors) = W q, for 4 queries. `q` is [4][dim], `units` [4][stride].
HWY_INLINE void network_product(const PositionNetwork& net, std::int64_t a,
                                const double* HWY_RESTRICT q, double* HWY_RESTRICT units) {
  const hn::ScalableTag<double> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vec x[kQueries][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) x[r][v] = hn::Zero(d);
  }
  for (std::int64_t i = 0; i < net.dim; ++i) {
    const double* w = net.w.data() + i * net.stride + a;
    Vec weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) weight[v] = hn::LoadU(d, w + v * lanes);
#pragma GCC unroll 4
    for (int r = 0; r < kQueries; ++r) {
      const Vec element = hn::Set(d, q[r * net.dim + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) x[r][v] = hn::MulAdd(element, weight[v], x[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kQueries; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(x[r][v], d, units + r * net.stride + a + v * lanes);
    }
  }
}

/// sum_a v_a tanh(units_a) = sum v - 2 sum v / (1 + 2^units).
double output_unit(const PositionNetwork& net, const double* units) {
  const hn::ScalableTag<double> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0), far = hn::Set(d, 200.0);
  auto sum = hn::Zero(d);
  for (std::int64_t a = 0; a < net.hidden; a += 4 * lanes) {
    const auto n = [&](int v) { return hn::LoadU(d, net.v.data() + a + v * lanes); };
    const auto factor = [&](int v) {
      // Four factors up to 2^200 have a finite product.
      const auto x = hn::LoadU(d, units + a + v * lanes);
      return hn::Add(one, exp2_f64(d, hn::Max(hn::Min(x, far), hn::Neg(far))));
    };
    sum = hn::Add(sum, sum_of_quotients(d, n(0), factor(0), n(1), factor(1), n(2), factor(2), n(3),
                                        factor(3)));
  }
  return net.v_sum - 2 * hn::GetLane(hn::SumOfLanes(d, sum));
}

void predict_target(const PredictionJob& job) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const PositionNetwork& net = job.network;
  double* wide = job.scratch;
  double* units = wide + kQueries * net.dim;
  for (int first = 0; first < job.queries; first += kQueries) {
    const int count = std::min(kQueries, job.queries - first);
    for (int r = 0; r < kQueries; ++r) {
      const float* from = job.q_rows[first + std::min(r, count - 1)];
      double* to = wide + r * net.dim;
      std::int64_t i = 0;
      for (; i + lanes <= net.dim; i += lanes) {
        hn::StoreU(hn::PromoteTo(d, hn::LoadU(df, from + i)), d, to + i);
      }
      for (; i < net.dim; ++i) to[i] = static_cast<double>(from[i]);
    }
    for (std::int64_t a = 0; a < net.hidden; a += kVectors * lanes) {
      network_product(net, a, wide, units);
    }
    for (int r = 0; r < count; ++r) {
      job.positions[first + r] = output_unit(net, units + r * net.stride);
    }
  }
  // p = Nk / (1 + e^-z).
  const auto keys = hn::Set(d, static_cast<double>(job.keys));
  const auto limit = hn::Set(d, 1000.0);
  for (std::int64_t at = 0; at < job.queries; at += lanes) {
    const auto exponent =
        hn::Mul(hn::LoadU(d, job.positions + at), hn::Set(d, -std::numbers::log2e));
    const auto power = exp2_f64(d, hn::Max(hn::Min(exponent, limit), hn::Neg(limit)));
    hn::StoreU(hn::Div(keys, hn::Add(hn::Set(d, 1.0), power)), d, job.positions + at);
  }
  count_ops(job.queries * net.hidden * net.dim, job.queries * (net.hidden + 1));
}

/// The keys of one query: [begin, begin + count) are visited, [low, high) of these weighted.
struct Window {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t low = 0;
  std::int64_t high = 0;
  float center = 0;  ///< Relative to begin.
  float inverse_sum = 0;
};

/// Softmax over weights[low, high) and the sink, times the Gaussian at the center; the rest of
/// [0, count) becomes zero. Returns 1 / sum, or 0 where no key has a logit. The buffer has room for
/// whole vectors.
float weigh_row(const Window& window, float sink, float factor, float* weights) {
  const std::int64_t count = window.count;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto from = hn::Set(d, static_cast<float>(window.low));
  const auto to = hn::Set(d, static_cast<float>(window.high));
  const auto logits_at = [&](std::int64_t j) {
    const auto index = hn::Iota(d, static_cast<float>(j));
    const auto inside = hn::And(hn::Ge(index, from), hn::Lt(index, to));
    return hn::IfThenElse(inside, hn::Load(d, weights + j), none);
  };
  auto maximum = none;
  for (std::int64_t j = 0; j < count; j += lanes) maximum = hn::Max(maximum, logits_at(j));
  maximum = hn::Max(hn::MaxOfLanes(d, maximum), hn::Set(d, sink));
  // Nothing to weigh: (-inf) - (-inf) must not be formed.
  maximum = hn::IfThenZeroElse(hn::Eq(maximum, none), maximum);
  auto sum = hn::Zero(d);
  for (std::int64_t j = 0; j < count; j += lanes) {
    const auto w = exp2_nonpositive(d, hn::Sub(logits_at(j), maximum));
    const auto distance = hn::Sub(hn::Iota(d, static_cast<float>(j)), hn::Set(d, window.center));
    sum = hn::Add(sum, w);
    hn::Store(hn::Mul(w, gaussian(d, distance, hn::Set(d, factor))), d, weights + j);
  }
  const auto of_sink = exp2_nonpositive(d, hn::Sub(hn::Set(d, sink), maximum));
  const float total = hn::GetLane(hn::Add(hn::SumOfLanes(d, sum), of_sink));
  return total > 0 ? 1 / total : 0;
}

Window window_at(double center, std::int64_t reach, std::int64_t keys) {
  Window w;
  w.count = std::min(2 * reach + 1, keys);
  const std::int64_t low = index_within(std::ceil(center - static_cast<double>(reach)), keys);
  const std::int64_t high = index_within(std::floor(center + static_cast<double>(reach)) + 1, keys);
  w.begin = std::min(low, keys - w.count);
  w.low = low - w.begin;
  w.high = high - w.begin;
  w.center = static_cast<float>(center - static_cast<double>(w.begin));
  return w;
}

/// Step by step over all queries of the tile, not query by query: a window is short, and the chain
/// dots, maximum, sum, reciprocal, values of one query would wait for itself.
void predicted_target(const PredictedTile& job) {
  const Problem& p = job.problem;
  const int queries = job.tile.queries.lanes;
  float* weights = job.scratch;
  const std::int64_t row = window_floats(p, job.window);
  const TileTerms terms(job.shaping, job.tile.queries);
  Window windows[kPredictedQueries];
  for (int lane = 0; lane < queries; ++lane) {
    if (job.upcoming != nullptr) job.upcoming->step(1);
    Window& w = windows[lane];
    w = window_at(job.positions[lane], job.window,
                  readable_keys(p, job.tile.queries.batch, job.tile.queries.position[lane]));
    row_dots(job.tile.q_rows[lane], job.k + w.begin * job.k_stride, job.k_stride, w.count, p.dim_qk,
             static_cast<float>(std::numbers::log2e), weights + lane * row);
    terms.shape_lane(lane, w.begin, w.count, weights + lane * row);
    count_ops(w.count * (p.dim_qk + p.dim_v), 2 * w.count + (terms.has_sink() ? 1 : 0));
  }
  const float factor = gaussian_factor(job.window);
  for (int lane = 0; lane < queries; ++lane) {
    Window& w = windows[lane];
    if (w.low < w.high) {
      w.inverse_sum = weigh_row(w, terms.sink(lane), factor, weights + lane * row);
    } else {
      std::fill_n(weights + lane * row, w.count, 0.0F);
    }
  }
  const std::int64_t stride = job.v_stride;
  for (int lane = 0; lane < queries; ++lane) {
    if (job.upcoming != nullptr) job.upcoming->step(1);
    const Window& w = windows[lane];
    const float* v = job.v + w.begin * job.v_stride;
    weighted_rows(
        weights + lane * row, [v, stride](std::ptrdiff_t t) { return v + t * stride; }, w.count,
        p.dim_v, w.inverse_sum, job.tile.out_rows[lane]);
  }
}

}  // namespace

void predict_entry(const PredictionJob& job) { predict_target(job); }
void predicted_entry(const PredictedTile& job) { predicted_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(predict_entry);
HWY_EXPORT(predicted_entry);
}  // namespace

void predict_positions(const PredictionJob& job) { HWY_DYNAMIC_DISPATCH(predict_entry)(job); }
void run_predicted_tile(const PredictedTile& job) { HWY_DYNAMIC_DISPATCH(predicted_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
