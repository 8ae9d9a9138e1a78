#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rotary.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "attention/rotation.h"
#include "kernels/op_count.h"
#include "kernels/rotary.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void rotate_row_entry(const float* cosine, const float* sine, std::ptrdiff_t half,
                      const float* from, float* to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  for (; at + lanes <= half; at += lanes) {
    const auto c = hn::LoadU(d, cosine + at), s = hn::LoadU(d, sine + at);
    const auto x = hn::LoadU(d, from + at), y = hn::LoadU(d, from + half + at);
    hn::StoreU(hn::NegMulAdd(y, s, hn::Mul(x, c)), d, to + at);
    hn::StoreU(hn::MulAdd(x, s, hn::Mul(y, c)), d, to + half + at);
  }
  for (; at < half; ++at) {
    const float x = from[at], y = from[half + at];
    to[at] = x * cosine[at] - y * sine[at];
    to[half + at] = x * sine[at] + y * cosine[at];
  }
}

/// The same of the pairs (2i, 2i + 1).
void rotate_neighbours_entry(const float* cosine, const float* sine, std::ptrdiff_t half,
                             const float* from, float* to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  for (; at + lanes <= half; at += lanes) {
    const auto c = hn::LoadU(d, cosine + at), s = hn::LoadU(d, sine + at);
    hn::Vec<decltype(d)> x, y;
    hn::LoadInterleaved2(d, from + 2 * at, x, y);
    hn::StoreInterleaved2(hn::NegMulAdd(y, s, hn::Mul(x, c)), hn::MulAdd(x, s, hn::Mul(y, c)), d,
                          to + 2 * at);
  }
  for (; at < half; ++at) {
    const float x = from[2 * at], y = from[2 * at + 1];
    to[2 * at] = x * cosine[at] - y * sine[at];
    to[2 * at + 1] = x * sine[at] + y * cosine[at];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(rotate_row_entry);
HWY_EXPORT(rotate_neighbours_entry);
}  // namespace

RotaryTable::RotaryTable(std::int64_t dim, std::int64_t first, std::int64_t count, const Rope& rope)
    : dim_(dim),
      first_(first),
      interleaved_(rope.interleaved),
      cosine_(static_cast<std::size_t>(count * (dim / 2))),
      sine_(static_cast<std::size_t>(count * (dim / 2))) {
  std::size_t at = 0;
  for (std::int64_t position = first; position < first + count; ++position) {
    for (std::int64_t i = 0; i < dim / 2; ++i, ++at) {
      const double angle = rotary_angle(position, i, dim, rope.base);
      cosine_.data()[at] = static_cast<float>(std::cos(angle));
      sine_.data()[at] = static_cast<float>(std::sin(angle));
    }
  }
}

void rotate_row(const RotaryTable& table, std::int64_t position, const float* from, float* to) {
  const std::ptrdiff_t half = table.dim() / 2;
  if (table.interleaved()) {
    HWY_DYNAMIC_DISPATCH(rotate_neighbours_entry)
    (table.cosine(position), table.sine(position), half, from, to);
  } else {
    HWY_DYNAMIC_DISPATCH(rotate_row_entry)
    (table.cosine(position), table.sine(position), half, from, to);
  }
  count_ops(half * 3, 0);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
