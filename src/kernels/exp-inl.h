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

/// x = n + f with n the nearest integer and f in [-1/2, 1/2]; 2^f = 1 + f q(f), q of degree 4,
/// minimax in relative error (Lawson's algorithm). Adding 1.5 * 2^23 rounds x to an integer in the
/// low bits; n + 126 there, shifted into the exponent, is 2^(n-1), whose missing factor 2 is in the
/// polynomial, so that n = -126 gives an exact zero without a comparison.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_by_rounding(D d, V x) {
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

#if HWY_TARGET <= HWY_AVX3
/// x - floor(x), and x * 2^floor(n) where n > -126, otherwise 0.
HWY_INLINE __m512 fraction(__m512 x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
HWY_INLINE __m256 fraction(__m256 x) { return _mm256_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
HWY_INLINE __m128 fraction(__m128 x) { return _mm_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
HWY_INLINE __m512 scaled(__m512 x, __m512 n) {
  const auto normal = _mm512_cmp_ps_mask(n, _mm512_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm512_maskz_scalef_ps(normal, x, n);
}
HWY_INLINE __m256 scaled(__m256 x, __m256 n) {
  const auto normal = _mm256_cmp_ps_mask(n, _mm256_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm256_maskz_scalef_ps(normal, x, n);
}
HWY_INLINE __m128 scaled(__m128 x, __m128 n) {
  const auto normal = _mm_cmp_ps_mask(n, _mm_set1_ps(-126.0F), _CMP_GT_OQ);
  return _mm_maskz_scalef_ps(normal, x, n);
}

/// x = n + f with n = floor(x); 2^f = 1 + f q(f), q of degree 4 on [0, 1), chosen so that neither
/// the relative error nor that in ULP stands out, f being rounded down. AVX-512 has instructions
/// for what other targets round, subtract and shift for.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_by_scaling(D d, V x) {
  const V f{fraction(x.raw)};
  V p = hn::MulAdd(hn::Set(d, 0.0018762595718726516F), f, hn::Set(d, 0.008995398879051208F));
  p = hn::MulAdd(p, f, hn::Set(d, 0.055817555636167526F));
  p = hn::MulAdd(p, f, hn::Set(d, 0.24015887081623077F));
  p = hn::MulAdd(p, f, hn::Set(d, 0.6931518316268921F));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0F));
  return V{scaled(p.raw, x.raw)};
}
#endif

/// 2^x for x in (-inf, 127].
/// Type: float32. Maximum error: 1.7e-7 relative, 2.3 ULP.
/// x <= -126 gives exactly 0, and no result is denormal; x = 0 gives exactly 1.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_nonpositive(D d, V x) {
#if HWY_TARGET <= HWY_AVX3
  return exp2_by_scaling(d, x);
#else
  return exp2_by_rounding(d, x);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
