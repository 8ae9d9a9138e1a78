// Small transposes between rows in memory and lanes of a tile, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#undef ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#else
#define ATTNBENCH_KERNELS_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

/// Four floats of every fourth row from rows[0] on, one row a 128-bit block.
template <class D>
HWY_INLINE hn::Vec<D> load_fourth_rows(D d, const float* const* rows, std::ptrdiff_t at) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return hn::LoadU(d, rows[0] + at);
  } else {
    const hn::Half<D> half;
    constexpr std::ptrdiff_t kHalf = static_cast<std::ptrdiff_t>(hn::MaxLanes(half));
    return hn::Combine(d, load_fourth_rows(half, rows + kHalf, at),
                       load_fourth_rows(half, rows, at));
  }
}

/// The inverse of load_fourth_rows() for rows below `count`: rows[i] = x, or keep[i] rows[i] + x.
template <bool add, class D>
HWY_INLINE void store_fourth_rows(D d, hn::Vec<D> x, float* const* rows, const float* keep,
                                  std::ptrdiff_t count, std::ptrdiff_t at) {
  if constexpr (hn::MaxLanes(d) == 4) {
    if (count <= 0) return;
    float* to = rows[0] + at;
    if constexpr (add) x = hn::MulAdd(hn::Set(d, keep[0]), hn::LoadU(d, to), x);
    hn::StoreU(x, d, to);
  } else {
    const hn::Half<D> half;
    constexpr std::ptrdiff_t kHalf = static_cast<std::ptrdiff_t>(hn::MaxLanes(half));
    store_fourth_rows<add>(half, hn::LowerHalf(half, x), rows, keep, count, at);
    store_fourth_rows<add>(half, hn::UpperHalf(half, x), rows + kHalf, keep + (add ? kHalf : 0),
                           count - kHalf, at);
  }
}

/// Transposes the 4 x 4 floats that the same 128-bit block of four vectors holds, in every block.
template <class D>
HWY_INLINE void transpose_blocks(D d, hn::Vec<D>* x) {
  const hn::RepartitionToWide<D> d2;
  const auto low01 = hn::BitCast(d2, hn::InterleaveLower(d, x[0], x[1]));
  const auto low23 = hn::BitCast(d2, hn::InterleaveLower(d, x[2], x[3]));
  const auto high01 = hn::BitCast(d2, hn::InterleaveUpper(d, x[0], x[1]));
  const auto high23 = hn::BitCast(d2, hn::InterleaveUpper(d, x[2], x[3]));
  x[0] = hn::BitCast(d, hn::InterleaveLower(d2, low01, low23));
  x[1] = hn::BitCast(d, hn::InterleaveUpper(d2, low01, low23));
  x[2] = hn::BitCast(d, hn::InterleaveLower(d2, high01, high23));
  x[3] = hn::BitCast(d, hn::InterleaveUpper(d2, high01, high23));
}

#endif

/// out[d][lane] = scale * rows[lane][d] for d < dim, lane < count; lanes up to `padded`, a multiple
/// of 8, are zero. out has row stride `ld`. Blocks of 8 lanes x 4: rows a power of two apart share
/// the sets of a cache of 8 ways, so that the lines of 16 rows would drive each other out before
/// all of a line is read.
HWY_INLINE void pack_transposed(const float* const* rows, std::ptrdiff_t count,
                                std::ptrdiff_t padded, std::ptrdiff_t dim, float scale, float* out,
                                std::ptrdiff_t ld) {
  const hn::CappedTag<float, 8> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t lane = 0; lane < padded; lane += lanes) {
    const std::ptrdiff_t here = std::min(count - lane, lanes);
    if (here <= 0) {
      for (std::ptrdiff_t i = 0; i < dim; ++i) hn::StoreU(hn::Zero(d), d, out + i * ld + lane);
      continue;
    }
    std::ptrdiff_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    // The last row stands in for those that are missing; what comes of it is set to zero.
    const float* sources[hn::MaxLanes(d)];
    for (std::ptrdiff_t j = 0; j < lanes; ++j) sources[j] = rows[lane + std::min(j, here - 1)];
    const auto present = hn::FirstN(d, static_cast<std::size_t>(here));
    const auto factor = hn::Set(d, scale);
    for (; i + 4 <= dim; i += 4) {
      hn::Vec<decltype(d)> x[4];
      for (int k = 0; k < 4; ++k) x[k] = load_fourth_rows(d, sources + k, i);
      transpose_blocks(d, x);
      for (int k = 0; k < 4; ++k) {
        hn::StoreU(hn::IfThenElseZero(present, hn::Mul(x[k], factor)), d,
                   out + (i + k) * ld + lane);
      }
    }
#endif
    for (; i < dim; ++i) {
      float* to = out + i * ld + lane;
      for (std::ptrdiff_t j = 0; j < here; ++j) to[j] = scale * rows[lane + j][i];
      std::fill(to + here, to + lanes, 0.0F);
    }
  }
}

/// rows[lane][d] = in[d][lane] * factor[lane] for d < dim, lane < count, or, with `add`, that and
/// rows[lane][d] * keep[lane]. `in` has row stride `ld`; it and the factors can be read up to a
/// multiple of 8 lanes.
template <bool add>
HWY_INLINE void merge_transposed(const float* in, std::ptrdiff_t ld, const float* factor,
                                 const float* keep, std::ptrdiff_t count, std::ptrdiff_t dim,
                                 float* const* rows) {
  const hn::CappedTag<float, 8> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (std::ptrdiff_t lane = 0; lane < count; lane += lanes) {
    const std::ptrdiff_t here = std::min(count - lane, lanes);
    std::ptrdiff_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    const auto scale = hn::LoadU(d, factor + lane);
    for (; i + 4 <= dim; i += 4) {
      hn::Vec<decltype(d)> x[4];
      for (int k = 0; k < 4; ++k) x[k] = hn::Mul(scale, hn::LoadU(d, in + (i + k) * ld + lane));
      transpose_blocks(d, x);
      for (int k = 0; k < 4; ++k) {
        store_fourth_rows<add>(d, x[k], rows + lane + k, add ? keep + lane + k : nullptr, here - k,
                               i);
      }
    }
#endif
    for (; i < dim; ++i) {
      for (std::ptrdiff_t j = lane; j < lane + here; ++j) {
        float x = factor[j] * in[i * ld + j];
        if constexpr (add) x += keep[j] * rows[j][i];
        rows[j][i] = x;
      }
    }
  }
}

/// rows[lane][d] = in[d][lane] * factor[lane], as merge_transposed().
HWY_INLINE void unpack_transposed(const float* in, std::ptrdiff_t ld, const float* factor,
                                  std::ptrdiff_t count, std::ptrdiff_t dim, float* const* rows) {
  merge_transposed<false>(in, ld, factor, nullptr, count, dim, rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
