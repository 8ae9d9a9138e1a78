#include "kernels/ceilings_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ceilings_simd.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vec = hn::Vec<Tag>;

/// Unknown to the compiler, so that nothing of the loops is worked out beforehand.
static volatile float opaque_half = 0.5F;

float fma_loop_simd(std::int64_t steps) {
  const Tag d;
  const Vec half = hn::Set(d, opaque_half);
  Vec acc[kFmaStreams];
#pragma GCC unroll 12
  for (int i = 0; i < kFmaStreams; ++i) acc[i] = hn::Set(d, static_cast<float>(i));
  for (std::int64_t step = 0; step < steps; ++step) {
    // x <- x / 2 + 1 / 2 tends to 1: neither overflow nor denormals, however long it runs.
#pragma GCC unroll 12
    for (int i = 0; i < kFmaStreams; ++i) acc[i] = hn::MulAdd(acc[i], half, half);
  }
#pragma GCC unroll 12
  for (int i = 1; i < kFmaStreams; ++i) acc[0] = hn::Add(acc[0], acc[i]);
  return hn::GetLane(acc[0]);
}

float exp_loop_simd(const float* HWY_RESTRICT x, std::size_t count, std::int64_t passes) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  Vec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    // A shift that is not known beforehand: otherwise one pass would do for all.
    const Vec shift = hn::Set(d, opaque_half);
    for (std::size_t i = 0; i < count; i += 4 * lanes) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < 4; ++v) {
        const Vec value = hn::Sub(hn::Load(d, x + i + v * lanes), shift);
        sum[v] = hn::Add(sum[v], exp2_nonpositive(d, value));
      }
    }
  }
  return hn::GetLane(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])));
}

float read_loop_simd(const float* HWY_RESTRICT from, std::size_t count, std::int64_t passes) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  Vec sum[8];
#pragma GCC unroll 8
  for (int v = 0; v < 8; ++v) sum[v] = hn::Set(d, opaque_half);
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i < count; i += 8 * lanes) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < 8; ++v) {
        sum[v] = hn::Max(sum[v], hn::Load(d, from + i + v * lanes));
      }
    }
    // Another pass must really read again.
    asm volatile("" : : "r"(from) : "memory");
  }
#pragma GCC unroll 8
  for (int v = 1; v < 8; ++v) sum[0] = hn::Add(sum[0], sum[v]);
  return hn::GetLane(sum[0]);
}

template <bool streaming>
void copy_once(float* HWY_RESTRICT to, const float* HWY_RESTRICT from, std::size_t count) {
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < count; i += 4 * lanes) {
    Vec value[4];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < 4; ++v) value[v] = hn::Load(d, from + i + v * lanes);
#pragma GCC unroll 4
    for (std::size_t v = 0; v < 4; ++v) {
      if constexpr (streaming) {
        hn::Stream(value[v], d, to + i + v * lanes);
      } else {
        hn::Store(value[v], d, to + i + v * lanes);
      }
    }
  }
}

void copy_loop_simd(float* to, const float* from, std::size_t count, std::int64_t passes,
                    bool streaming) {
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    if (streaming) {
      copy_once<true>(to, from, count);
    } else {
      copy_once<false>(to, from, count);
    }
    asm volatile("" : : "r"(to) : "memory");
  }
  hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {

HWY_EXPORT(fma_loop_simd);
HWY_EXPORT(exp_loop_simd);
HWY_EXPORT(read_loop_simd);
HWY_EXPORT(copy_loop_simd);

}  // namespace

float fma_loop(std::int64_t steps) { return HWY_DYNAMIC_DISPATCH(fma_loop_simd)(steps); }

float exp_loop(const float* x, std::size_t count, std::int64_t passes) {
  return HWY_DYNAMIC_DISPATCH(exp_loop_simd)(x, count, passes);
}

float read_loop(const float* from, std::size_t count, std::int64_t passes) {
  return HWY_DYNAMIC_DISPATCH(read_loop_simd)(from, count, passes);
}

void copy_loop(float* to, const float* from, std::size_t count, std::int64_t passes,
               bool streaming) {
  HWY_DYNAMIC_DISPATCH(copy_loop_simd)(to, from, count, passes, streaming);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
