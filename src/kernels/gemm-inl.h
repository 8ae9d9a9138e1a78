// The one matrix product that every engine is built from: a panel C[rows][columns] += A B with the
// columns in vector registers and the elements of A broadcast, compiled once per instruction set.
//
// Register tile: 6 rows x 4 vectors with 32 registers (AVX-512), 6 x 2 with 16 (AVX2): 24 or 12
// accumulators hide the latency of the fused multiply-add on both ports, and each step of the
// depth loads 4 + 6 (2 + 6) values for 24 (12) of them. Columns that are left over take one tile as
// wide as they are (AVX-512: 3, 2 or 1 vectors), a single vector of 8 rows.

#if defined(ATTNBENCH_KERNELS_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_GEMM_INL_H_
#undef ATTNBENCH_KERNELS_GEMM_INL_H_
#else
#define ATTNBENCH_KERNELS_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/in_register-inl.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows of the usual register tile.
constexpr int kGemmRows = 6;

/// What becomes of the old C.
enum class Old {
  overwrite,     ///< C = A B
  accumulate,    ///< C = C + A B
  rescale,       ///< C = C * factor[column] + A B
  rescale_rows,  ///< C = C * factor[row] + A B
};

/// Where A(row, depth) is.
enum class ALayout {
  row_major,  ///< a[row * lda + depth]
  col_major,  ///< a[row + depth * lda]
};

#if HWY_TARGET <= HWY_AVX3
constexpr int kGemmVectors = 4;
#else
constexpr int kGemmVectors = 2;
#endif

/// One register tile. Asks for a line `ahead`, of which there are at most `depth`, in every step.
template <int R, int V, ALayout layout>
HWY_NOINLINE void gemm_tile(std::ptrdiff_t depth, const float* HWY_RESTRICT a, std::ptrdiff_t lda,
                            const float* HWY_RESTRICT b, std::ptrdiff_t ldb, float* HWY_RESTRICT c,
                            std::ptrdiff_t ldc, Old old, const float* HWY_RESTRICT factor,
                            LinesAhead ahead = {}) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const std::ptrdiff_t lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  Vec acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      acc[r][v] = old == Old::overwrite ? hn::Zero(d) : hn::LoadU(d, c + r * ldc + v * lanes);
    }
  }
  if (old == Old::rescale) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const Vec scale = hn::LoadU(d, factor + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) acc[r][v] = hn::Mul(acc[r][v], scale);
    }
  } else if (old == Old::rescale_rows) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec scale = hn::Set(d, factor[r]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) acc[r][v] = hn::Mul(acc[r][v], scale);
    }
  }
  // A vector of few uses is loaded once for them (in_register-inl.h); of more the compiler does so.
  constexpr bool kFewUses = R < 4;
  const auto multiply_add = [&](std::ptrdiff_t k) {
    Vec column[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      column[v] = hn::LoadU(d, b + k * ldb + v * lanes);
      if constexpr (R > 1 && kFewUses) column[v] = in_register(column[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const float element = layout == ALayout::row_major ? a[r * lda + k] : a[r + k * lda];
      Vec broadcast = hn::Set(d, element);
      if constexpr (V > 1 && kFewUses) broadcast = in_register(broadcast);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) acc[r][v] = hn::MulAdd(broadcast, column[v], acc[r][v]);
    }
  };
  std::ptrdiff_t k = 0;
  for (; k < ahead.count; ++k) {
    ahead.fetch(k);
    multiply_add(k);
  }
  for (; k < depth; ++k) multiply_add(k);
  // Where rows begin is computed again: kept from above, all of it would be spilled.
  asm("" : "+r"(c));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) hn::StoreU(acc[r][v], d, c + r * ldc + v * lanes);
  }
}

/// Rows of a register tile of V vectors: with one vector, 8 accumulators cover the latency of the
/// multiply-add on two ports.
template <int V>
constexpr int kTileRows = V == 1 ? 8 : kGemmRows;

template <int V, ALayout layout>
HWY_INLINE void gemm_rows(std::ptrdiff_t rows, std::ptrdiff_t depth, const float* a,
                          std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb, float* c,
                          std::ptrdiff_t ldc, Old old, const float* factor, Upcoming* upcoming) {
  const std::ptrdiff_t step = layout == ALayout::row_major ? lda : 1;
  constexpr int kRows = kTileRows<V>;
  const std::ptrdiff_t row_work =
      V * static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>())) * depth;
  // At most a line in every step of the depth.
  const auto ahead = [&](std::ptrdiff_t tile_rows) {
    return upcoming == nullptr ? LinesAhead{} : upcoming->take(tile_rows * row_work, depth);
  };
  for (; rows >= kRows; rows -= kRows) {
    gemm_tile<kRows, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, ahead(kRows));
    a += kRows * step;
    c += kRows * ldc;
    if (old == Old::rescale_rows) factor += kRows;
  }
  if (rows == 0) return;
  const LinesAhead last = ahead(rows);
  switch (rows) {
    case 1:
      return gemm_tile<1, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
    case 2:
      return gemm_tile<2, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
    case 3:
      return gemm_tile<3, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
    case 4:
      return gemm_tile<4, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
    case 5:
      return gemm_tile<5, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
    case 6:
      if constexpr (kRows > 6) {
        gemm_tile<6, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
      }
      return;
    case 7:
      if constexpr (kRows > 7) {
        gemm_tile<7, V, layout>(depth, a, lda, b, ldb, c, ldc, old, factor, last);
      }
      return;
    default:
      return;
  }
}

/// C[rows][columns] (+)= A[rows][depth] B[depth][columns]. `columns` is a multiple of the vector
/// length, or padded to one: whole vectors of B, C and factor are read and written. Its
/// multiply-adds are work that `upcoming`, unless null, is spread over.
template <ALayout layout>
HWY_INLINE void gemm(std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t depth,
                     const float* a, std::ptrdiff_t lda, const float* b, std::ptrdiff_t ldb,
                     float* c, std::ptrdiff_t ldc, Old old, const float* factor = nullptr,
                     Upcoming* upcoming = nullptr) {
  const hn::ScalableTag<float> d;
  const std::ptrdiff_t lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  // Only rescaling reads the factors; any valid address will do otherwise.
  const float* factors = factor == nullptr ? b : factor;
  const auto factor_at = [&] { return old == Old::rescale_rows ? factors : factors + at; };
  for (; at + kGemmVectors * lanes <= columns; at += kGemmVectors * lanes) {
    gemm_rows<kGemmVectors, layout>(rows, depth, a, lda, b + at, ldb, c + at, ldc, old, factor_at(),
                                    upcoming);
  }
  if constexpr (kGemmVectors == 4) {
    if (columns - at > 2 * lanes) {
      gemm_rows<3, layout>(rows, depth, a, lda, b + at, ldb, c + at, ldc, old, factor_at(),
                           upcoming);
      return;
    }
    if (columns - at > lanes) {
      gemm_rows<2, layout>(rows, depth, a, lda, b + at, ldb, c + at, ldc, old, factor_at(),
                           upcoming);
      at += 2 * lanes;
    }
  }
  for (; at < columns; at += lanes) {
    gemm_rows<1, layout>(rows, depth, a, lda, b + at, ldb, c + at, ldc, old, factor_at(), upcoming);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
