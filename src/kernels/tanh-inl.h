// Vectorised hyperbolic tangent by its exponential factors, compiled once per instruction set.
//
//   tanh(x) = 1 - 2 / (1 + e^2x)
//
// Scores of the form sum_a v_a tanh(q_a + k_a) need no exponential per pair: e^2(q + k) = E F with
// E = e^2q once per query and F = e^2k once per key, and the constant sum of v_a drops out of the
// softmax. What is left per pair and hidden unit is a product and a share of a division.

#if defined(ATTNBENCH_KERNELS_TANH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_TANH_INL_H_
#undef ATTNBENCH_KERNELS_TANH_INL_H_
#else
#define ATTNBENCH_KERNELS_TANH_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// 1 + e^2x beyond this is as good as infinite: tanh differs from 1 by less than 1e-9. Four such
/// factors have a finite product.
constexpr float kTanhReach = 31.0F;
constexpr float kTanhCap = 2147483648.0F;  // 2^kTanhReach

/// 1 / x for x in [1, 2^125]. Type: float32. Maximum error: 2e-7 relative: the instruction's
/// approximation (12 bits or more) and one Newton step, which costs half of a division.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V fast_reciprocal(D d, V x) {
  const V r = hn::ApproximateReciprocal(x);
  return hn::MulAdd(r, hn::NegMulAdd(x, r, hn::Set(d, 1.0F)), r);
}

/// How a quotient is formed: by the divider, or by fast_reciprocal() with the units for products.
enum class Quotient { division, reciprocal };

/// n0 / x0 + n1 / x1 + n2 / x2 + n3 / x3 by one quotient over the common denominator.
/// Type: float32 or float64 (by division alone). x in [1, kTanhCap]. Maximum error: 8 ULP of the
/// sum of |n / x|: every term is positive times n, so that nothing cancels that would not cancel in
/// the plain sum.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sum_of_quotients([[maybe_unused]] D d, V n0, V x0, V n1, V x1, V n2, V x2, V n3, V x3,
                              [[maybe_unused]] Quotient how = Quotient::division) {
  const V x01 = hn::Mul(x0, x1);
  const V x23 = hn::Mul(x2, x3);
  const V n01 = hn::MulAdd(n0, x1, hn::Mul(n1, x0));
  const V n23 = hn::MulAdd(n2, x3, hn::Mul(n3, x2));
  const V n = hn::MulAdd(n01, x23, hn::Mul(n23, x01)), x = hn::Mul(x01, x23);
  if constexpr (sizeof(hn::TFromD<D>) == sizeof(float)) {
    if (how == Quotient::reciprocal) return hn::Mul(n, fast_reciprocal(d, x));
  }
  return hn::Div(n, x);
}
/// FLOPs of one sum of quotients, the division among them.
constexpr std::int64_t kQuotientsFlops = 13;

/// 1 / (1 + 2^w) = (1 - tanh(w ln2 / 2)) / 2 for any finite w.
/// Type: float32. Maximum error: 2.5e-7 absolute (so 5e-7 in tanh); 1/2 within one ULP at 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V falling_logistic(D d, V w) {
  const V power = exp2_nonpositive(d, hn::Min(w, hn::Set(d, kTanhReach)));
  return fast_reciprocal(d, hn::Add(power, hn::Set(d, 1.0F)));
}

/// tanh(x) for any finite x.
/// Type: float32. Maximum error: 4e-7 relative, so that small x keep their digits; |result| is at
/// most 1 + 2e-7. x P(x^2) / Q(x^2) with P and Q of degree 4, minimax in relative error (Lawson's
/// algorithm) on [0, 9.01], beyond which tanh rounds to 1; the division by an approximate
/// reciprocal and one correction.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh_f32(D d, V x) {
  const V end = hn::Set(d, 9.01F);
  x = hn::Max(hn::Min(x, end), hn::Neg(end));
  const V y = hn::Mul(x, x);
  V p = hn::MulAdd(hn::Set(d, 1.33353711e-08F), y, hn::Set(d, 2.05952238e-05F));
  V q = hn::MulAdd(hn::Set(d, 7.76868169e-07F), y, hn::Set(d, 3.28426018e-04F));
  p = hn::MulAdd(p, y, hn::Set(d, 3.49474888e-03F));
  q = hn::MulAdd(q, y, hn::Set(d, 2.58737928e-02F));
  p = hn::MulAdd(p, y, hn::Set(d, 1.33803202e-01F));
  q = hn::MulAdd(q, y, hn::Set(d, 4.67136356e-01F));
  p = hn::MulAdd(p, y, hn::Set(d, 1.0F));
  q = hn::MulAdd(q, y, hn::Set(d, 1.0F));
  p = hn::Mul(p, x);
  const V r = fast_reciprocal(d, q);
  const V quotient = hn::Mul(p, r);
  return hn::MulAdd(hn::NegMulAdd(quotient, q, p), r, quotient);
}

/// 2^x for x in [-1000, 1000]. Type: float64. Maximum error: 5e-11 relative; exactly 1 at 0.
/// x = n + f with n the nearest integer and f in [-1/2, 1/2]; 2^f = 1 + f q(f), q of degree 6,
/// minimax in relative error (Lawson's algorithm).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_f64(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, 6755399441055744.0 + 1023.0);  // 1.5 * 2^52, and the exponent's bias.
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  const V power = hn::BitCast(d, hn::ShiftLeft<52>(hn::BitCast(di, shifted)));
  V p = hn::Set(d, 1.5196156728907686e-05);
  for (const double coefficient :
       {0.0001546675641767189, 0.0013333935055676082, 0.009618038131771976, 0.055504103659902666,
        0.24022651066562853, 0.6931471807045327, 1.0}) {
    p = hn::MulAdd(p, f, hn::Set(d, coefficient));
  }
  return hn::Mul(p, power);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
