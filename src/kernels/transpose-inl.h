// Small transposes between rows in memory and lanes of a tile, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#undef ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#else
#define ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// out[d][lane] = scale * rows[lane][d] for d < dim, lane < count; lanes up to `padded` are zero.
/// out has row stride `ld`. 4 x 4 blocks through 128-bit registers, which every target has.
HWY_INLINE void pack_transposed(const float* const* rows, std::ptrdiff_t count,
                                std::ptrdiff_t padded, std::ptrdiff_t dim, float scale, float* out,
                                std::ptrdiff_t ld) {
  std::ptrdiff_t lane = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d4;
  const hn::RepartitionToWide<decltype(d4)> d2;
  const auto factor = hn::Set(d4, scale);
  for (; lane + 4 <= count; lane += 4) {
    std::ptrdiff_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      const auto r0 = hn::LoadU(d4, rows[lane] + d);
      const auto r1 = hn::LoadU(d4, rows[lane + 1] + d);
      const auto r2 = hn::LoadU(d4, rows[lane + 2] + d);
      const auto r3 = hn::LoadU(d4, rows[lane + 3] + d);
      const auto low01 = hn::BitCast(d2, hn::InterleaveLower(d4, r0, r1));
      const auto low23 = hn::BitCast(d2, hn::InterleaveLower(d4, r2, r3));
      const auto high01 = hn::BitCast(d2, hn::InterleaveUpper(d4, r0, r1));
      const auto high23 = hn::BitCast(d2, hn::InterleaveUpper(d4, r2, r3));
      const auto c0 = hn::BitCast(d4, hn::InterleaveLower(d2, low01, low23));
      const auto c1 = hn::BitCast(d4, hn::InterleaveUpper(d2, low01, low23));
      const auto c2 = hn::BitCast(d4, hn::InterleaveLower(d2, high01, high23));
      const auto c3 = hn::BitCast(d4, hn::InterleaveUpper(d2, high01, high23));
      hn::StoreU(hn::Mul(c0, factor), d4, out + d * ld + lane);
      hn::StoreU(hn::Mul(c1, factor), d4, out + (d + 1) * ld + lane);
      hn::StoreU(hn::Mul(c2, factor), d4, out + (d + 2) * ld + lane);
      hn::StoreU(hn::Mul(c3, factor), d4, out + (d + 3) * ld + lane);
    }
    for (; d < dim; ++d) {
      for (std::ptrdiff_t i = lane; i < lane + 4; ++i) out[d * ld + i] = scale * rows[i][d];
    }
  }
#endif
  for (; lane < count; ++lane) {
    for (std::ptrdiff_t d = 0; d < dim; ++d) out[d * ld + lane] = scale * rows[lane][d];
  }
  for (; lane < padded; ++lane) {
    for (std::ptrdiff_t d = 0; d < dim; ++d) out[d * ld + lane] = 0;
  }
}

/// rows[lane][d] = in[d][lane] * factor[lane] for d < dim, lane < count; `in` has row stride `ld`.
HWY_INLINE void unpack_transposed(const float* in, std::ptrdiff_t ld, const float* factor,
                                  std::ptrdiff_t count, std::ptrdiff_t dim, float* const* rows) {
  std::ptrdiff_t lane = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d4;
  const hn::RepartitionToWide<decltype(d4)> d2;
  for (; lane + 4 <= count; lane += 4) {
    const auto scale = hn::LoadU(d4, factor + lane);
    std::ptrdiff_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      const auto c0 = hn::Mul(scale, hn::LoadU(d4, in + d * ld + lane));
      const auto c1 = hn::Mul(scale, hn::LoadU(d4, in + (d + 1) * ld + lane));
      const auto c2 = hn::Mul(scale, hn::LoadU(d4, in + (d + 2) * ld + lane));
      const auto c3 = hn::Mul(scale, hn::LoadU(d4, in + (d + 3) * ld + lane));
      const auto low01 = hn::BitCast(d2, hn::InterleaveLower(d4, c0, c1));
      const auto low23 = hn::BitCast(d2, hn::InterleaveLower(d4, c2, c3));
      const auto high01 = hn::BitCast(d2, hn::InterleaveUpper(d4, c0, c1));
      const auto high23 = hn::BitCast(d2, hn::InterleaveUpper(d4, c2, c3));
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, low01, low23)), d4, rows[lane] + d);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, low01, low23)), d4, rows[lane + 1] + d);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, high01, high23)), d4, rows[lane + 2] + d);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, high01, high23)), d4, rows[lane + 3] + d);
    }
    for (; d < dim; ++d) {
      for (std::ptrdiff_t i = lane; i < lane + 4; ++i) rows[i][d] = factor[i] * in[d * ld + i];
    }
  }
#endif
  for (; lane < count; ++lane) {
    for (std::ptrdiff_t d = 0; d < dim; ++d) rows[lane][d] = factor[lane] * in[d * ld + lane];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
