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
#include "kernels/quad_products-inl.h"
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

/// Queries whose network is computed together, and register tile of its product: queries x vectors
/// of hidden units, in 32 registers or 16. With AVX-512 all queries, so that the weights, which a
/// first-level cache just holds, are read once for them.
#if HWY_TARGET <= HWY_AVX3
constexpr int kNetworkQueries = 8;
constexpr int kTileQueriesOfNetwork = kNetworkQueries;
#else
constexpr int kNetworkQueries = 12;
constexpr int kTileQueriesOfNetwork = kNetworkQueries / 2;
#endif
static_assert(kNetworkQueries <= kMostNetworkQueries);
constexpr int kVectors = 2;

/// units[r][a, a + kVectors vectors) = W q, for some queries. `q` is [queries][dim], `units`
/// [queries][stride].
HWY_INLINE void network_product(const PositionNetwork& net, std::int64_t a,
                                const double* HWY_RESTRICT q, double* HWY_RESTRICT units) {
  constexpr int kRows = kTileQueriesOfNetwork;
  const hn::ScalableTag<double> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vec x[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) x[r][v] = hn::Zero(d);
  }
  for (std::int64_t i = 0; i < net.dim; ++i) {
    const double* w = net.w.data() + i * net.stride + a;
    Vec weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) weight[v] = hn::LoadU(d, w + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec element = hn::Set(d, q[r * net.dim + i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) x[r][v] = hn::MulAdd(element, weight[v], x[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(x[r][v], d, units + r * net.stride + a + v * lanes);
    }
  }
}

/// Hidden units that output_unit() reads: whole sums of quotients.
HWY_INLINE std::int64_t read_units(std::int64_t hidden) {
  const auto at_once = 4 * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<double>()));
  return (hidden + at_once - 1) / at_once * at_once;
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

void ask_for_row(const float* row, std::int64_t floats) {
  constexpr std::int64_t kLineFloats = LinesAhead::kLineBytes / sizeof(float);
  const LinesAhead lines{reinterpret_cast<const char*>(row),
                         (floats + kLineFloats - 1) / kLineFloats};
  for (std::ptrdiff_t i = 0; i < lines.count; ++i) lines.fetch_near(i);
}

void predict_target(const PredictionJob& job) {
  constexpr int kQueries = kNetworkQueries;
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
    for (int r = first + kQueries; r < std::min(first + 2 * kQueries, job.rows); ++r) {
      ask_for_row(job.q_rows[r], net.dim);
    }
    for (int r = 0; r < count; r += kTileQueriesOfNetwork) {
      for (std::int64_t a = 0; a < read_units(net.hidden); a += kVectors * lanes) {
        network_product(net, a, wide + r * net.dim, units + r * net.stride);
      }
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
  count_float64_ops(job.queries * net.hidden * net.dim, job.queries * (net.hidden + 1));
}

/// The windows of four queries, a place for each.
struct QuadOfWindows {
  HWY_ALIGN float low[kQuadLanes];
  HWY_ALIGN float high[kQuadLanes];
  HWY_ALIGN float center[kQuadLanes];
  HWY_ALIGN float sink[kQuadLanes];
  HWY_ALIGN float inverse_sum[kQuadLanes];  ///< 0 where nothing weighs anything.
  QuadWindows k;
  QuadWindows v;
  std::int64_t count = 0;  ///< Of the longest.
};

#if HWY_TARGET != HWY_SCALAR

/// Softmax over scores[low, high) and the sink of each query, times the Gaussians at the centers;
/// the rest becomes zero.
void weigh_quad(float factor, float* scores, QuadOfWindows& quad) {
  const hn::ScalableTag<float> d;
  const hn::FixedTag<float, kQuadLanes> d4;
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  HWY_ALIGN static constexpr float kKeyOf[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  const auto key_of = hn::Load(d, kKeyOf);
  const auto low = hn::LoadDup128(d, quad.low), high = hn::LoadDup128(d, quad.high);
  const auto center = hn::LoadDup128(d, quad.center);
  const auto key_at = [&](std::int64_t j) {
    return hn::Add(key_of, hn::Set(d, static_cast<float>(j)));
  };
  auto largest = none;
  for (std::int64_t j = 0; j < quad.count; j += kQuadKeys) {
    const auto key = key_at(j);
    const auto inside = hn::And(hn::Ge(key, low), hn::Lt(key, high));
    const auto logit = hn::IfThenElse(inside, hn::Load(d, scores + j * kQuadLanes), none);
    hn::Store(logit, d, scores + j * kQuadLanes);
    largest = hn::Max(largest, logit);
  }
  const auto sink = hn::Load(d4, quad.sink);
  auto maximum = hn::Max(max_of_blocks(d, largest), sink);
  // Nothing to weigh: (-inf) - (-inf) must not be formed.
  maximum = hn::IfThenZeroElse(
      hn::Eq(maximum, hn::Set(d4, -std::numeric_limits<float>::infinity())), maximum);
  HWY_ALIGN float maxima[kQuadLanes];
  hn::Store(maximum, d4, maxima);
  const auto shift = hn::LoadDup128(d, maxima);
  auto sum = hn::Zero(d);
  for (std::int64_t j = 0; j < quad.count; j += kQuadKeys) {
    float* at = scores + j * kQuadLanes;
    const auto w = exp2_nonpositive(d, hn::Sub(hn::Load(d, at), shift));
    const auto distance = hn::Sub(key_at(j), center);
    hn::Store(hn::Mul(w, gaussian(d, distance, hn::Set(d, factor))), d, at);
    sum = hn::Add(sum, w);
  }
  const auto total = hn::Add(sum_of_blocks(d, sum), exp2_nonpositive(d4, hn::Sub(sink, maximum)));
  const auto zero = hn::Zero(d4);
  hn::Store(hn::IfThenElse(hn::Gt(total, zero), hn::Div(hn::Set(d4, 1.0F), total), zero), d4,
            quad.inverse_sum);
}

#else

void weigh_quad(float factor, float* scores, QuadOfWindows& quad) {
  const hn::ScalableTag<float> d;
  const auto power = [&](float x) { return hn::GetLane(exp2_nonpositive(d, hn::Set(d, x))); };
  for (int i = 0; i < kQuadLanes; ++i) {
    const auto low = static_cast<std::int64_t>(quad.low[i]);
    const auto high = static_cast<std::int64_t>(quad.high[i]);
    float maximum = quad.sink[i];
    for (std::int64_t j = low; j < high; ++j) {
      maximum = std::max(maximum, scores[j * kQuadLanes + i]);
    }
    if (std::isinf(maximum)) maximum = 0;
    float total = power(quad.sink[i] - maximum);
    for (std::int64_t j = 0; j < quad.count; ++j) {
      float& score = scores[j * kQuadLanes + i];
      const float distance = static_cast<float>(j) - quad.center[i];
      const float weight = low <= j && j < high ? power(score - maximum) : 0;
      total += weight;
      score = weight * power(-factor * distance * distance);
    }
    quad.inverse_sum[i] = total > 0 ? 1 / total : 0;
  }
}

#endif

/// Step by step over all queries of the tile, not four by four: a window is short, and the chain
/// scores, maximum, sum, reciprocal, values would wait for itself.
void predicted_target(const PredictedTile& job) {
  const Problem& p = job.problem;
  const int queries = job.tile.queries.lanes;
  const std::int64_t row = window_floats(p, job.window);
  const TileTerms terms(job.shaping, job.tile.queries);
  QuadOfWindows quads[kPredictedQueries / kQuadLanes];
  std::int64_t steps = 0;
  for (int lane = 0; lane < queries; ++lane) {
    const KeyWindow& w = job.windows[lane];
    count_ops(w.count * (p.dim_qk + p.dim_v), 2 * w.count + (terms.has_sink() ? 1 : 0));
  }
  for (int lane = 0; lane < queries; lane += kQuadLanes) {
    QuadOfWindows& quad = quads[lane / kQuadLanes];
    quad.k.stride = job.k_stride;
    quad.v.stride = job.v_stride;
    for (int i = 0; i < kQuadLanes; ++i) {
      const int from = std::min(lane + i, queries - 1);
      const KeyWindow& w = job.windows[from];
      quad.low[i] = static_cast<float>(w.low);
      quad.high[i] = static_cast<float>(w.high);
      quad.center[i] = w.center;
      quad.sink[i] = terms.sink(from);
      // A window that is shorter than another begins with the first key.
      quad.k.rows[i] = job.k + w.begin * job.k_stride;
      quad.v.rows[i] = job.v + w.begin * job.v_stride;
      quad.count = std::max(quad.count, w.count);
    }
    steps += quad_steps(quad.count, p.dim_qk, p.dim_v);
  }
  PacedRequests requests(job.upcoming, steps);
  float* logits_row = job.scratch + kPredictedQueries * row;
  const auto weights_of = [&](int lane) { return job.scratch + lane * row; };
  for (int lane = 0; lane < queries; lane += kQuadLanes) {
    const QuadOfWindows& quad = quads[lane / kQuadLanes];
    HWY_ALIGN float maximum[kQuadLanes] = {};
    quad_scores(Quad(job.tile.q_rows, lane, queries), quad.k, quad.count, p.dim_qk,
                static_cast<float>(std::numbers::log2e), nullptr, weights_of(lane), maximum,
                requests);
    if (!terms.shapes_or_masks()) continue;
    for (int i = lane; i < std::min(lane + kQuadLanes, queries); ++i) {
      const KeyWindow& w = job.windows[i];
      change_lane(i - lane, w.count, weights_of(lane), logits_row,
                  [&](float* logits) { terms.shape_lane(i, w.begin, w.count, logits); });
    }
  }
  const float factor = gaussian_factor(job.window);
  for (int lane = 0; lane < queries; lane += kQuadLanes) {
    weigh_quad(factor, weights_of(lane), quads[lane / kQuadLanes]);
  }
  for (int lane = 0; lane < queries; lane += kQuadLanes) {
    const QuadOfWindows& quad = quads[lane / kQuadLanes];
    quad_values<false>(
        weights_of(lane), quad.v, quad.count, p.dim_v,
        {job.tile.out_rows + lane, std::min(kQuadLanes, queries - lane), quad.inverse_sum, nullptr},
        requests);
  }
  if (job.upcoming != nullptr) job.upcoming->rest();
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

KeyWindow key_window(double center, std::int64_t reach, std::int64_t keys) {
  KeyWindow w;
  w.count = std::min(2 * reach + 1, keys);
  const std::int64_t low = index_within(std::ceil(center - static_cast<double>(reach)), keys);
  const std::int64_t high = index_within(std::floor(center + static_cast<double>(reach)) + 1, keys);
  w.begin = std::min(low, keys - w.count);
  w.low = low - w.begin;
  w.high = high - w.begin;
  w.center = static_cast<float>(center - static_cast<double>(w.begin));
  return w;
}

void predict_positions(const PredictionJob& job) { HWY_DYNAMIC_DISPATCH(predict_entry)(job); }
void run_predicted_tile(const PredictedTile& job) { HWY_DYNAMIC_DISPATCH(predicted_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
