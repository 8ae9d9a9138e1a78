// The pieces that engines are made of, on every instruction set that is compiled in and available.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd_pieces_test.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "attention/tensor.h"
#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/transpose-inl.h"

// Shared by all targets, so outside their namespaces, and once.
#ifndef ATTNBENCH_TESTS_GEMM_CASE
#define ATTNBENCH_TESTS_GEMM_CASE
namespace attnbench::kernels {
struct GemmCase {
  std::ptrdiff_t rows, columns, depth;
  bool col_major;
  int old;  // of Old
};
}  // namespace attnbench::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void exp2_of(const float* x, std::size_t n, float* out) {
  const hn::ScalableTag<float> d;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    hn::StoreU(exp2_nonpositive(d, hn::LoadU(d, x + i)), d, out + i);
  }
}

void gemm_of(const GemmCase& c, const float* a, std::ptrdiff_t lda, const float* b, float* out,
             std::ptrdiff_t ld, const float* factor) {
  const auto old = static_cast<Old>(c.old);
  if (c.col_major) {
    gemm<ALayout::col_major>(c.rows, c.columns, c.depth, a, lda, b, ld, out, ld, old, factor);
  } else {
    gemm<ALayout::row_major>(c.rows, c.columns, c.depth, a, lda, b, ld, out, ld, old, factor);
  }
}

void pack_of(const float* const* rows, std::ptrdiff_t count, std::ptrdiff_t dim, float* out) {
  pack_transposed(rows, count, 64, dim, 2.0F, out, 64);
}

void unpack_of(const float* in, const float* factor, std::ptrdiff_t count, std::ptrdiff_t dim,
               float* const* rows) {
  unpack_transposed(in, 64, factor, count, dim, rows);
}

void merge_of(const float* in, const float* factor, const float* keep, std::ptrdiff_t count,
              std::ptrdiff_t dim, float* const* rows) {
  merge_transposed<true>(in, 64, factor, keep, count, dim, rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace attnbench::kernels {
HWY_EXPORT(exp2_of);
HWY_EXPORT(gemm_of);
HWY_EXPORT(pack_of);
HWY_EXPORT(unpack_of);
HWY_EXPORT(merge_of);

namespace {

class SimdPieces : public ::testing::Test {
 protected:
  template <class Check>
  void on_every_isa(Check check) {
    int tested = 0;
    for (const std::string& isa : available_isas()) {
      if (isa != "avx512" && isa != "avx2") continue;
      ASSERT_TRUE(select_isa(isa));
      SCOPED_TRACE(isa);
      check();
      ++tested;
    }
    ASSERT_TRUE(select_isa("auto"));
    EXPECT_GE(tested, 1) << "no vector instruction set that the kernels are compiled for";
  }
};

/// Distance in units in the last place of the exact value, rounded to float32.
double ulps(float got, double want) {
  const auto rounded = static_cast<float>(want);
  const double ulp =
      static_cast<double>(std::nextafter(rounded, INFINITY)) - static_cast<double>(rounded);
  return std::abs(static_cast<double>(got) - want) / ulp;
}

TEST_F(SimdPieces, ExpIsWithinItsStatedErrorOverItsRange) {
  constexpr double kStatedUlp = 2.1;
  constexpr double kStatedRelative = 1.7e-7;
  // Every 97th float from -2^-30 to -125: all exponents, about 3 million values; and (0, 1].
  std::vector<float> x;
  const auto bits_of = [](float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  };
  const auto add_range = [&](float from, float to) {
    for (std::uint32_t bits = bits_of(from); bits <= bits_of(to); bits += 97) {
      float value = 0;
      std::memcpy(&value, &bits, sizeof(value));
      x.push_back(value);
    }
  };
  add_range(-0x1p-30F, -125.0F);
  add_range(0x1p-30F, 1.0F);
  while (x.size() % 16 != 0) x.push_back(0.0F);
  std::vector<float> out(x.size());
  on_every_isa([&] {
    HWY_DYNAMIC_DISPATCH(exp2_of)(x.data(), x.size(), out.data());
    double worst_ulp = 0, worst_relative = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp2(static_cast<double>(x[i]));
      worst_ulp = std::max(worst_ulp, ulps(out[i], want));
      worst_relative = std::max(worst_relative, std::abs(static_cast<double>(out[i]) / want - 1));
    }
    EXPECT_LE(worst_ulp, kStatedUlp);
    EXPECT_LE(worst_relative, kStatedRelative);
    EXPECT_GE(worst_ulp, 0.5) << "a bound that cannot fail";
  });
}

TEST_F(SimdPieces, ExpUnderflowsToExactZeroAndNeverToDenormals) {
  std::vector<float> x{-125.5F,
                       -126.0F,
                       -126.5F,
                       -127.0F,
                       -149.0F,
                       -150.0F,
                       -1e4F,
                       -1e30F,
                       0.0F,
                       -0.0F,
                       -124.0F,
                       -125.0F,
                       -std::numeric_limits<float>::max(),
                       -std::numeric_limits<float>::infinity(),
                       -130.0F,
                       -1.0F};
  std::vector<float> out(x.size());
  on_every_isa([&] {
    HWY_DYNAMIC_DISPATCH(exp2_of)(x.data(), x.size(), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_TRUE(out[i] == 0 || out[i] >= std::numeric_limits<float>::min()) << x[i];
      if (x[i] <= -126.0F) {
        EXPECT_EQ(out[i], 0.0F) << x[i];
      }
    }
    EXPECT_EQ(out[8], 1.0F);
    EXPECT_EQ(out[9], 1.0F);
  });
}

TEST_F(SimdPieces, GemmMatchesADoubleLoopAtEverySize) {
  constexpr std::ptrdiff_t kLd = 80;
  on_every_isa([&] {
    const std::ptrdiff_t vector = vector_floats();
    for (std::ptrdiff_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 64}) {
      for (std::ptrdiff_t vectors = 1; vectors * vector <= kLd && vectors <= 5; ++vectors) {
        for (std::ptrdiff_t depth : {1, 2, 17, 64}) {
          for (bool col_major : {false, true}) {
            for (int old = 0; old < 4; ++old) {
              const GemmCase c{rows, vectors * vector, depth, col_major, old};
              const std::ptrdiff_t lda = col_major ? rows + 3 : depth + 3;
              FloatBuffer a(static_cast<std::size_t>((col_major ? depth : rows) * lda));
              FloatBuffer b(static_cast<std::size_t>(depth * kLd));
              FloatBuffer out(static_cast<std::size_t>(rows * kLd)), factor(kLd);
              std::uint32_t state = 1;
              for (FloatBuffer* buffer : {&a, &b, &out, &factor}) {
                for (float& x : buffer->span()) {
                  state = state * 1664525 + 1013904223;
                  x = static_cast<float>(state >> 8) * 0x1p-23F - 1;
                }
              }
              const std::vector<float> before(out.span().begin(), out.span().end());
              HWY_DYNAMIC_DISPATCH(gemm_of)
              (c, a.data(), lda, b.data(), out.data(), kLd, factor.data());
              for (std::ptrdiff_t r = 0; r < rows; ++r) {
                for (std::ptrdiff_t j = 0; j < kLd; ++j) {
                  const float was = before[static_cast<std::size_t>(r * kLd + j)];
                  double want = static_cast<double>(was);
                  if (j < c.columns) {
                    const double factors[] = {0, 1, static_cast<double>(factor.data()[j]),
                                              static_cast<double>(factor.data()[r])};
                    want = static_cast<double>(was) * factors[old];
                    for (std::ptrdiff_t k = 0; k < depth; ++k) {
                      const float element =
                          col_major ? a.data()[r + k * lda] : a.data()[r * lda + k];
                      want +=
                          static_cast<double>(element) * static_cast<double>(b.data()[k * kLd + j]);
                    }
                  }
                  // depth + 2 roundings of values up to depth + 1.
                  const double bound = 6e-8 * static_cast<double>((depth + 2) * (depth + 2));
                  ASSERT_NEAR(static_cast<double>(out.data()[r * kLd + j]), want, bound)
                      << rows << "x" << c.columns << "x" << depth << " old " << old;
                }
              }
            }
          }
        }
      }
    }
  });
}

TEST_F(SimdPieces, PackingTransposesAndUnpackingTransposesBack) {
  on_every_isa([&] {
    for (std::ptrdiff_t count : {1, 3, 4, 7, 63, 64}) {
      for (std::ptrdiff_t dim : {1, 3, 4, 17, 64}) {
        std::vector<float> data(static_cast<std::size_t>(64 * dim)),
            back(static_cast<std::size_t>(64 * dim), -1.0F);
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i) + 1;
        const float* rows[64];
        float* back_rows[64];
        for (std::ptrdiff_t i = 0; i < count; ++i) {
          rows[i] = data.data() + i * dim;
          back_rows[i] = back.data() + i * dim;
        }
        FloatBuffer packed(static_cast<std::size_t>(64 * dim)), factor(64);
        for (float& x : packed.span()) x = 99;
        for (float& x : factor.span()) x = 0.5F;
        HWY_DYNAMIC_DISPATCH(pack_of)(rows, count, dim, packed.data());
        for (std::ptrdiff_t d = 0; d < dim; ++d) {
          for (std::ptrdiff_t lane = 0; lane < 64; ++lane) {
            ASSERT_EQ(packed.data()[d * 64 + lane], lane < count ? 2 * rows[lane][d] : 0.0F);
          }
        }
        HWY_DYNAMIC_DISPATCH(unpack_of)(packed.data(), factor.data(), count, dim, back_rows);
        for (std::size_t i = 0; i < back.size(); ++i) {
          ASSERT_EQ(back[i], i < static_cast<std::size_t>(count * dim) ? data[i] : -1.0F);
        }
      }
    }
  });
}

TEST_F(SimdPieces, MergingAddsToWhatRowsHoldAndTouchesNoOther) {
  on_every_isa([&] {
    for (std::ptrdiff_t count : {1, 2, 5, 16, 23, 64}) {
      for (std::ptrdiff_t dim : {1, 4, 6, 32}) {
        FloatBuffer lanes(static_cast<std::size_t>(64 * dim)), factor(64), keep(64);
        for (std::ptrdiff_t i = 0; i < 64 * dim; ++i) lanes.data()[i] = static_cast<float>(i);
        for (int lane = 0; lane < 64; ++lane) {
          factor.data()[lane] = static_cast<float>(lane + 1);
          keep.data()[lane] = lane % 2 == 0 ? 0.5F : 0.0F;
        }
        std::vector<float> data(static_cast<std::size_t>(65 * dim), 6.0F);
        float* rows[64];
        for (std::ptrdiff_t i = 0; i < count; ++i) rows[i] = data.data() + i * dim;
        HWY_DYNAMIC_DISPATCH(merge_of)
        (lanes.data(), factor.data(), keep.data(), count, dim, rows);
        for (std::ptrdiff_t lane = 0; lane < 65; ++lane) {
          for (std::ptrdiff_t d = 0; d < dim; ++d) {
            const float added = static_cast<float>((lane + 1) * (d * 64 + lane));
            const float kept = lane % 2 == 0 ? 3.0F : 0.0F;
            ASSERT_EQ(data[static_cast<std::size_t>(lane * dim + d)],
                      lane < count ? kept + added : 6.0F)
                << count << " x " << dim << ": " << lane << ", " << d;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace attnbench::kernels
#endif  // HWY_ONCE
