// The Gaussian of windows around a position, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_GAUSSIAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_GAUSSIAN_INL_H_
#undef ATTNBENCH_KERNELS_GAUSSIAN_INL_H_
#else
#define ATTNBENCH_KERNELS_GAUSSIAN_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <numbers>

#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// c of exp(-x^2 / (2 sigma^2)) = 2^(-c x^2) with sigma = window / 2.
inline float gaussian_factor(std::int64_t window) {
  const auto w = static_cast<double>(window);
  return static_cast<float>(2 * std::numbers::log2e / (w * w));
}

/// 2^(-factor distance^2). Type: float32.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gaussian(D d, V distance, V factor) {
  return exp2_nonpositive(d, hn::Neg(hn::Mul(factor, hn::Mul(distance, distance))));
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
