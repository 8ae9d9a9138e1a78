// Vectorised exponential, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_EXP_INL_H_
#undef ATTNBENCH_KERNELS_EXP_INL_H_
#else
#define ATTNBENCH_KERNELS_EXP_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// 2^x for x in (-inf, 127].
/// Type: float32. Maximum error: 1.7e-7 relative (2.1 ULP) where the result is above 2^-125.
/// Results below are exactly 0 (never denormal); x = -inf gives 0.
/// x = n + f with n the nearest integer and f in [-1/2, 1/2]; 2^f = 1 + f q(f), q of degree 4,
/// minimax in relative error (Lawson's algorithm). Adding 1.5 * 2^23 rounds x to an integer in the
/// low bits; n + 126 there, shifted into the exponent, is 2^(n-1), whose missing factor 2 is in the
/// polynomial, so that n = -126 gives an exact zero without a comparison.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_nonpositive(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, 12582912.0F + 126.0F);
  x = hn::Max(x, hn::Set(d, -126.0F));
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  const V half_power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  V p = hn::MulAdd(hn::Set(d, 2 * 0.001326472731307149F), f, hn::Set(d, 2 * 0.009671512991189957F));
  p = hn::MulAdd(p, f, hn::Set(d, 2 * 0.05550733581185341F));
  p = hn::MulAdd(p, f, hn::Set(d, 2 * 0.24022242426872253F));
  p = hn::MulAdd(p, f, hn::Set(d, 2 * 0.6931470036506653F));
  p = hn::MulAdd(p, f, hn::Set(d, 2.0F));
  return hn::Mul(p, half_power);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
