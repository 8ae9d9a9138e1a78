#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_transform.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/row_transform.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

HWY_INLINE float largest_magnitude(const float* x, std::ptrdiff_t dim) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  auto largest = hn::Zero(d);
  std::ptrdiff_t at = 0;
  for (; at + lanes <= dim; at += lanes) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + at)));
  }
  float result = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; at < dim; ++at) result = std::max(result, std::abs(x[at]));
  return result;
}

HWY_INLINE float squared_length(const float* x, std::ptrdiff_t dim, float scale) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  auto sum = hn::Zero(d);
  std::ptrdiff_t at = 0;
  for (; at + lanes <= dim; at += lanes) {
    const auto y = hn::Mul(factor, hn::LoadU(d, x + at));
    sum = hn::MulAdd(y, y, sum);
  }
  float result = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; at < dim; ++at) result += (scale * x[at]) * (scale * x[at]);
  return result;
}

/// out = (x * scale) * factor: their product alone could overflow.
HWY_INLINE void scale_row(const float* x, std::ptrdiff_t dim, float scale, float factor,
                          float* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto first = hn::Set(d, scale), second = hn::Set(d, factor);
  std::ptrdiff_t at = 0;
  for (; at + lanes <= dim; at += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + at), first), second), d, out + at);
  }
  for (; at < dim; ++at) out[at] = (x[at] * scale) * factor;
}

}  // namespace

void normalise_row(const float* x, std::ptrdiff_t dim, float* out) {
  const float largest = largest_magnitude(x, dim);
  if (largest == 0) {
    std::fill_n(out, dim, 0.0F);
    return;
  }
  // The largest magnitude comes near 1: squares of what matters neither overflow nor vanish. 2^126
  // lifts even the smallest denormal to 2^-23.
  const float scale = std::ldexp(1.0F, std::clamp(-std::ilogb(largest), -126, 126));
  scale_row(x, dim, scale, 1 / std::sqrt(squared_length(x, dim, scale)), out);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(normalise_row);

constexpr std::int64_t kNormaliseRows = 256;  ///< Rows per task.

std::int64_t blocks_per_head(const RowNormalisation& t) {
  return (t.from.shape[2] + kNormaliseRows - 1) / kNormaliseRows;
}

std::int64_t task_count(const RowNormalisation& t) {
  return t.from.shape[0] * t.from.shape[1] * blocks_per_head(t);
}

void normalise_block(const RowNormalisation& t, std::int64_t task) {
  const std::int64_t blocks = blocks_per_head(t);
  const std::int64_t head = task / blocks % t.from.shape[1];
  const std::int64_t b = task / blocks / t.from.shape[1];
  const std::int64_t begin = task % blocks * kNormaliseRows;
  const std::int64_t length =
      t.lengths.empty() ? t.from.shape[2] : t.lengths[static_cast<std::size_t>(b)];
  const std::int64_t end = std::min(begin + kNormaliseRows, length);
  for (std::int64_t n = begin; n < end; ++n) {
    HWY_DYNAMIC_DISPATCH(normalise_row)
    (t.from.row(b, head, n), t.from.shape[3], t.to.row(b, head, n));
  }
}

}  // namespace

void normalise_rows(std::span<const RowNormalisation> tensors, Executor& executor) {
  std::int64_t tasks = 0;
  for (const RowNormalisation& t : tensors) tasks += task_count(t);
  executor.parallel_for(tasks, [&](std::int64_t index, int) {
    for (const RowNormalisation& t : tensors) {
      const std::int64_t count = task_count(t);
      if (index < count) return normalise_block(t, index);
      index -= count;
    }
  });
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
