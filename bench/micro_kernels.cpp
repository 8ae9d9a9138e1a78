#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/micro_kernels.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "bench/micro_kernels.h"
#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/key_pattern.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace pieces = kernels::HWY_NAMESPACE;
using pieces::ALayout;
using pieces::Old;

constexpr std::ptrdiff_t kLanes = kernels::kTileQueries;  // Row stride of every tile buffer.

void product_entry(const ProductArgs& p, std::int64_t repeats) {
  const Old old = p.old == OldValues::overwrite    ? Old::overwrite
                  : p.old == OldValues::accumulate ? Old::accumulate
                                                   : Old::rescale;
  for (std::int64_t i = 0; i < repeats; ++i) {
    if (p.order == MatrixOrder::row_major) {
      pieces::gemm<ALayout::row_major>(p.rows, p.columns, p.depth, p.a, p.lda, p.b, p.ldb, p.c,
                                       p.ldc, old, p.factor);
    } else {
      pieces::gemm<ALayout::col_major>(p.rows, p.columns, p.depth, p.a, p.lda, p.b, p.ldb, p.c,
                                       p.ldc, old, p.factor);
    }
  }
}

void score_products_entry(const TileProducts& p, std::int64_t repeats) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    for (std::ptrdiff_t begin = 0; begin < p.keys; begin += p.block) {
      pieces::gemm<ALayout::row_major>(std::min(p.block, p.keys - begin), kLanes, p.dim,
                                       p.rows + begin * p.dim, p.dim, p.tile, kLanes, p.scores,
                                       kLanes, Old::overwrite);
    }
  }
}

void value_products_entry(const TileProducts& p, std::int64_t repeats) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    for (std::ptrdiff_t begin = 0; begin < p.keys; begin += p.block) {
      pieces::gemm<ALayout::col_major>(
          p.dim, kLanes, std::min(p.block, p.keys - begin), p.rows + begin * p.dim, p.dim, p.scores,
          kLanes, p.tile, kLanes, begin == 0 ? Old::overwrite : Old::rescale, p.factor);
    }
  }
}

void exponentials_entry(const float* HWY_RESTRICT from, float* HWY_RESTRICT to, std::size_t count,
                        std::int64_t repeats) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::int64_t i = 0; i < repeats; ++i) {
    for (std::size_t at = 0; at < count; at += 4 * lanes) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < 4; ++v) {
        const auto x = hn::Load(d, from + at + v * lanes);
        hn::Store(pieces::exp2_nonpositive(d, x), d, to + at + v * lanes);
      }
    }
    asm volatile("" : : "r"(to) : "memory");  // Another repeat must really compute again.
  }
}

void pack_entry(const float* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t dim, float* packed,
                std::int64_t repeats) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    pieces::pack_transposed(rows, lanes, kLanes, dim, 0.125F, packed, kLanes);
    asm volatile("" : : "r"(packed) : "memory");
  }
}

void unpack_entry(const float* packed, std::ptrdiff_t lanes, std::ptrdiff_t dim,
                  const float* factor, float* const* rows, std::int64_t repeats) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    pieces::unpack_transposed(packed, kLanes, factor, lanes, dim, rows);
    asm volatile("" : : "r"(rows) : "memory");
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::bench {
namespace {
HWY_EXPORT(product_entry);
HWY_EXPORT(score_products_entry);
HWY_EXPORT(value_products_entry);
HWY_EXPORT(exponentials_entry);
HWY_EXPORT(pack_entry);
HWY_EXPORT(unpack_entry);
}  // namespace

void product(const ProductArgs& args, std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(product_entry)(args, repeats);
}

void score_products(const TileProducts& args, std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(score_products_entry)(args, repeats);
}

void value_products(const TileProducts& args, std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(value_products_entry)(args, repeats);
}

void exponentials(const float* from, float* to, std::size_t count, std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(exponentials_entry)(from, to, count, repeats);
}

void pack(const float* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t dim, float* packed,
          std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(pack_entry)(rows, lanes, dim, packed, repeats);
}

void unpack(const float* packed, std::ptrdiff_t lanes, std::ptrdiff_t dim, const float* factor,
            float* const* rows, std::int64_t repeats) {
  HWY_DYNAMIC_DISPATCH(unpack_entry)(packed, lanes, dim, factor, rows, repeats);
}

}  // namespace attnbench::bench
#endif  // HWY_ONCE
