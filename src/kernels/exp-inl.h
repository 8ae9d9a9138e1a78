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

/// factor * 2^f for f in [-1/2, 1/2], as factor * (1 + f q(f)), q of degree 4, minimax in relative
/// error (Lawson's algorithm). `factor` is a power of 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_of_fraction(D d, V f, float factor) {
  V p = hn::Set(d, factor * 0.001326472731307149F);
  for (const float coefficient : {0.009671512991189957F, 0.05550733581185341F, 0.24022242426872253F,
                                  0.6931470036506653F, 1.0F}) {
    p = hn::MulAdd(p, f, hn::Set(d, factor * coefficient));
  }
  return p;
}

#if HWY_TARGET <= HWY_AVX3
/// x less the nearest integer, and x * 2^n for an integer n above -127, of lanes whose `power` is
/// above -126; the others become 0.
HWY_INLINE __m512 fraction(__m512 x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT); }
HWY_INLINE __m256 fraction(__m256 x) { return _mm256_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT); }
HWY_INLINE __m128 fraction(__m128 x) { return _mm_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT); }
HWY_INLINE __m512 scaled(__m512 x, __m512 n, __m512 power) {
  const auto normal = _mm512_cmp_ps_mask(power, _mm512_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm512_maskz_scalef_ps(normal, x, n);
}
HWY_INLINE __m256 scaled(__m256 x, __m256 n, __m256 power) {
  const auto normal = _mm256_cmp_ps_mask(power, _mm256_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm256_maskz_scalef_ps(normal, x, n);
}
HWY_INLINE __m128 scaled(__m128 x, __m128 n, __m128 power) {
  const auto normal = _mm_cmp_ps_mask(power, _mm_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm_maskz_scalef_ps(normal, x, n);
}
#endif

/// 2^x for x in (-inf, 127].
/// Type: float32. Maximum error: 1.7e-7 relative, 2.1 ULP.
/// x <= -126 gives exactly 0, and no result is denormal; x = 0 gives exactly 1.
/// x = n + f with n the nearest integer and f in [-1/2, 1/2]. AVX-512 has an instruction for f and
/// one for the product with 2^n. Elsewhere adding 1.5 * 2^23 rounds x to an integer in the low
/// bits; n + 126 there, shifted into the exponent, is 2^(n-1), whose missing factor 2 goes to 2^f,
/// so that n = -126 gives an exact zero without a comparison.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_nonpositive(D d, V x) {
#if HWY_TARGET <= HWY_AVX3
  const V f{fraction(x.raw)};
  return V{scaled(exp2_of_fraction(d, f, 1.0F).raw, hn::Sub(x, f).raw, x.raw)};
#else
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, 12582912.0F + 126.0F);
  x = hn::Max(x, hn::Set(d, -126.0F));
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  const V half_power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  return hn::Mul(exp2_of_fraction(d, f, 2.0F), half_power);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
