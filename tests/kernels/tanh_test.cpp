// The rational tanh and its parts against float64, over their ranges, with the bounds that
// kernels/tanh-inl.h states, in every instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tanh_test.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstddef>
#include <vector>

#include "kernels/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Vectors of these have a multiple of 16 elements.
void logistic_all(const std::vector<float>& w, std::vector<float>& out) {
  const hn::ScalableTag<float> d;
  for (std::size_t i = 0; i < w.size(); i += hn::Lanes(d)) {
    hn::StoreU(falling_logistic(d, hn::LoadU(d, w.data() + i)), d, out.data() + i);
  }
}

void tanh_all(const std::vector<float>& x, std::vector<float>& out) {
  const hn::ScalableTag<float> d;
  for (std::size_t i = 0; i < x.size(); i += hn::Lanes(d)) {
    hn::StoreU(tanh_f32(d, hn::LoadU(d, x.data() + i)), d, out.data() + i);
  }
}

void reciprocal_all(const std::vector<float>& x, std::vector<float>& out) {
  const hn::ScalableTag<float> d;
  for (std::size_t i = 0; i < x.size(); i += hn::Lanes(d)) {
    hn::StoreU(fast_reciprocal(d, hn::LoadU(d, x.data() + i)), d, out.data() + i);
  }
}

/// n and x hold four arrays of out.size() one after the other.
void quotients_all(const std::vector<float>& n, const std::vector<float>& x, bool by_reciprocal,
                   std::vector<float>& out) {
  const Quotient how = by_reciprocal ? Quotient::reciprocal : Quotient::division;
  const hn::ScalableTag<float> d;
  const std::size_t size = out.size();
  for (std::size_t i = 0; i < size; i += hn::Lanes(d)) {
    const auto at = [&](const std::vector<float>& from, std::size_t part) {
      return hn::LoadU(d, from.data() + part * size + i);
    };
    hn::StoreU(sum_of_quotients(d, at(n, 0), at(x, 0), at(n, 1), at(x, 1), at(n, 2), at(x, 2),
                                at(n, 3), at(x, 3), how),
               d, out.data() + i);
  }
}

void exp2_f64_all(const std::vector<double>& x, std::vector<double>& out) {
  const hn::ScalableTag<double> d;
  for (std::size_t i = 0; i < x.size(); i += hn::Lanes(d)) {
    hn::StoreU(exp2_f64(d, hn::LoadU(d, x.data() + i)), d, out.data() + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"
#include "kernels/isa.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(logistic_all);
HWY_EXPORT(tanh_all);
HWY_EXPORT(reciprocal_all);
HWY_EXPORT(quotients_all);
HWY_EXPORT(exp2_f64_all);

constexpr std::size_t kCount = std::size_t{1} << 16;

/// Evenly spaced from `low` to `high`, both included.
template <class T>
std::vector<T> spaced(double low, double high) {
  std::vector<T> x;
  for (std::size_t i = 0; i < kCount; ++i) {
    x.push_back(static_cast<T>(low + (high - low) * static_cast<double>(i) / (kCount - 1)));
  }
  return x;
}

/// The largest |got - want| / size; infinite when anything is not a number.
template <class T, class Want, class Size>
double worst_error(const std::vector<T>& got, Want want, Size size) {
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - want(i)) / size(i);
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

double unit(std::size_t) { return 1; }

template <class Body>
void on_every_isa(Body body) {
  for (const std::string& isa : available_isas()) {
    if (isa != "avx512" && isa != "avx2") continue;
    ASSERT_TRUE(select_isa(isa));
    SCOPED_TRACE(isa);
    body();
  }
  ASSERT_TRUE(select_isa("auto"));
}

double logistic(double w) { return 1 / (1 + std::exp2(w)); }

TEST(Tanh, RationalFormKeepsTheDigitsOfSmallArguments) {
  on_every_isa([] {
    for (double reach : {1e-30, 1e-4, 0.5, 3.0, 9.5, 1e30}) {
      const auto x = spaced<float>(-reach, reach);
      std::vector<float> out(kCount);
      HWY_DYNAMIC_DISPATCH(tanh_all)(x, out);
      const auto want = [&](std::size_t i) { return std::tanh(static_cast<double>(x[i])); };
      EXPECT_LE(
          worst_error(out, want, [&](std::size_t i) { return std::max(std::abs(want(i)), 1e-37); }),
          4e-7)
          << reach;
      EXPECT_LE(*std::ranges::max_element(out), 1.0F + 2.5e-7F);
    }
  });
}

TEST(Tanh, FallingLogisticIsWithinItsBound) {
  on_every_isa([] {
    for (double reach : {1.0, 30.0, 300.0}) {
      const auto w = spaced<float>(-reach, reach);
      std::vector<float> out(kCount);
      HWY_DYNAMIC_DISPATCH(logistic_all)(w, out);
      EXPECT_LE(worst_error(
                    out, [&](std::size_t i) { return logistic(static_cast<double>(w[i])); }, unit),
                2.5e-7);
      // tanh(x) = 1 - 2 logistic(2 log2(e) x), within twice that.
      for (float& y : out) y = 1 - 2 * y;
      EXPECT_LE(worst_error(
                    out,
                    [&](std::size_t i) {
                      return std::tanh(static_cast<double>(w[i]) * std::log(2.0) / 2);
                    },
                    unit),
                5e-7);
    }
  });
}

TEST(Tanh, IsZeroAtZeroWithinOneUlp) {
  on_every_isa([] {
    const std::vector<float> w(16, 0.0F);
    std::vector<float> out(16);
    HWY_DYNAMIC_DISPATCH(logistic_all)(w, out);
    for (float y : out) EXPECT_NEAR(y, 0.5F, 6e-8F);
  });
}

TEST(Tanh, ReciprocalIsWithinItsBound) {
  on_every_isa([] {
    std::vector<float> x;
    for (double e : spaced<double>(0, 125)) x.push_back(static_cast<float>(std::exp2(e)));
    std::vector<float> out(kCount);
    HWY_DYNAMIC_DISPATCH(reciprocal_all)(x, out);
    const auto want = [&](std::size_t i) { return 1 / static_cast<double>(x[i]); };
    EXPECT_LE(worst_error(out, want, want), 2e-7);
  });
}

TEST(Tanh, SumOfQuotientsIsWithinItsBound) {
  on_every_isa([] {
    const CounterRng rng(1, "quotients");
    std::vector<float> n, x;
    for (std::size_t i = 0; i < 4 * kCount; ++i) {
      n.push_back(static_cast<float>(rng.normal(2 * i)));
      // From 1 to the cap, both of them often.
      const double e = std::clamp(40 * rng.uniform(2 * i + 1) - 4, 0.0, 31.0);
      x.push_back(static_cast<float>(std::exp2(e)));
    }
    const auto sum = [&](std::size_t i, bool absolute) {
      double total = 0;
      for (std::size_t part = 0; part < 4; ++part) {
        const double q =
            static_cast<double>(n[part * kCount + i]) / static_cast<double>(x[part * kCount + i]);
        total += absolute ? std::abs(q) : q;
      }
      return total;
    };
    for (bool by_reciprocal : {false, true}) {
      std::vector<float> out(kCount);
      HWY_DYNAMIC_DISPATCH(quotients_all)(n, x, by_reciprocal, out);
      EXPECT_LE(worst_error(
                    out, [&](std::size_t i) { return sum(i, false); },
                    [&](std::size_t i) { return sum(i, true); }),
                8 * 0x1p-23)
          << (by_reciprocal ? "by reciprocal" : "by division");
    }
  });
}

TEST(Tanh, Exp2InFloat64IsWithinItsBound) {
  on_every_isa([] {
    for (double reach : {1.0, 1000.0}) {
      const auto x = spaced<double>(-reach, reach);
      std::vector<double> out(kCount);
      HWY_DYNAMIC_DISPATCH(exp2_f64_all)(x, out);
      const auto want = [&](std::size_t i) { return std::exp2(x[i]); };
      EXPECT_LE(worst_error(out, want, want), 5e-11);
    }
    std::vector<double> out(16);
    HWY_DYNAMIC_DISPATCH(exp2_f64_all)(std::vector<double>(16, 0.0), out);
    for (double y : out) EXPECT_EQ(y, 1.0);
  });
}

TEST(Tanh, ComparatorSaysNo) {
  const auto w = spaced<float>(-30, 30);
  std::vector<float> out(kCount);
  HWY_DYNAMIC_DISPATCH(logistic_all)(w, out);
  const auto want = [&](std::size_t i) { return logistic(static_cast<double>(w[i])); };
  out[kCount / 2] += 1e-6F;
  EXPECT_GT(worst_error(out, want, unit), 2.5e-7);
  out[kCount / 2] = NAN;
  EXPECT_GT(worst_error(out, want, unit), 2.5e-7);
}

}  // namespace
}  // namespace attnbench::kernels
#endif  // HWY_ONCE
