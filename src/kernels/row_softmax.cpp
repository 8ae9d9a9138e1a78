#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The maximum of row[0, n); four accumulators hide the latency of max.
HWY_INLINE float row_maximum(const float* row, std::int64_t n) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;
  std::int64_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    m0 = hn::Max(m0, hn::LoadU(d, row + j));
    m1 = hn::Max(m1, hn::LoadU(d, row + j + lanes));
    m2 = hn::Max(m2, hn::LoadU(d, row + j + 2 * lanes));
    m3 = hn::Max(m3, hn::LoadU(d, row + j + 3 * lanes));
  }
  for (; j + lanes <= n; j += lanes) m0 = hn::Max(m0, hn::LoadU(d, row + j));
  float maximum = hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
  for (; j < n; ++j) maximum = std::max(maximum, row[j]);
  return maximum;
}

float softmax_row_target(float* row, std::int64_t n, float sink) {
  if (n == 0) return 0;
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float maximum = std::max(row_maximum(row, n), sink);
  if (maximum == -std::numeric_limits<float>::infinity()) {
    std::fill_n(row, n, 0.0F);
    return 0;
  }
  const auto shift = hn::Set(d, maximum);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  std::int64_t j = 0;
  for (; j + 2 * lanes <= n; j += 2 * lanes) {
    const auto p0 = exp2_nonpositive(d, hn::Sub(hn::LoadU(d, row + j), shift));
    const auto p1 = exp2_nonpositive(d, hn::Sub(hn::LoadU(d, row + j + lanes), shift));
    hn::StoreU(p0, d, row + j);
    hn::StoreU(p1, d, row + j + lanes);
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  if (sink > -std::numeric_limits<float>::infinity()) {
    sum += hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, sink - maximum)));
  }
  for (; j < n; ++j) {
    row[j] = hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, row[j] - maximum)));
    sum += row[j];
  }
  return 1 / sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/row_softmax.h"

namespace attnbench::kernels {
namespace {
HWY_EXPORT(softmax_row_target);
}

float softmax_row(float* row, std::int64_t n, float sink) {
  return HWY_DYNAMIC_DISPATCH(softmax_row_target)(row, n, sink);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
