// The pieces that the kernels are made of, as functions that repeat them: compiled once per
// instruction set like the kernels themselves, dispatched once per call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attnbench::bench {

enum class MatrixOrder { row_major, col_major };  ///< Of A.
enum class OldValues { overwrite, accumulate, rescale };

/// C[rows][columns] (+)= A[rows][depth] B[depth][columns], `repeats` times. B, C, factor 64-byte
/// aligned.
struct ProductArgs {
  MatrixOrder order = MatrixOrder::row_major;
  OldValues old = OldValues::overwrite;
  std::ptrdiff_t rows = 0, columns = 0, depth = 0;
  const float* a = nullptr;
  std::ptrdiff_t lda = 0;
  const float* b = nullptr;
  std::ptrdiff_t ldb = 0;
  float* c = nullptr;
  std::ptrdiff_t ldc = 0;
  const float* factor = nullptr;  ///< [columns], for rescale.
};
void product(const ProductArgs& args, std::int64_t repeats);

/// The products of a tile over a run of keys, block by block of `block` keys, as the tiled engine
/// calls them: `scores` S^T = K Q^T of each block, or `values` O^T (+)= V^T P^T.
struct TileProducts {
  const float* rows = nullptr;  ///< K [keys][dim], or V.
  std::ptrdiff_t keys = 0, block = 0, dim = 0;
  float* tile = nullptr;    ///< Q^T [dim][64], or O^T.
  float* scores = nullptr;  ///< [block][64]
  float* factor = nullptr;  ///< [64], ones.
};
void score_products(const TileProducts& args, std::int64_t repeats);
void value_products(const TileProducts& args, std::int64_t repeats);

/// to[i] = 2^from[i], from <= 0; `count` is a multiple of 64, both 64-byte aligned.
void exponentials(const float* from, float* to, std::size_t count, std::int64_t repeats);

/// Rows to lanes and back: `dim` values of each of `lanes` rows, packed with row stride 64.
void pack(const float* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t dim, float* packed,
          std::int64_t repeats);
void unpack(const float* packed, std::ptrdiff_t lanes, std::ptrdiff_t dim, const float* factor,
            float* const* rows, std::int64_t repeats);

}  // namespace attnbench::bench
