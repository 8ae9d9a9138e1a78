// Queries and keys of one residue modulo a stride. A pattern that reads every stride-th key is not
// block-shaped in natural order: 64 neighbouring queries share no key. Within a residue class it
// is: its queries all read keys of the class, which are gathered into contiguous rows once.
// Internal to kernels/.
#pragma once

#include <cstdint>

#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/query_tiles.h"

namespace attnbench::kernels {

/// In class coordinates, key u is key residue + u * stride, and position t likewise.
struct ResidueClass {
  std::int64_t stride = 1;
  std::int64_t first_query = 0;  ///< Its position has the residue.
  std::int64_t queries = 0;
  std::int64_t first_position = 0;  ///< Of first_query, in class coordinates; may be negative.

  /// The n-th query of the class.
  PlacedQuery place(std::int64_t n) const { return {first_query + n * stride, first_position + n}; }
};

ResidueClass residue_class(const Problem& problem, std::int64_t stride, std::int64_t residue);

/// Keys of the class below `length`.
std::int64_t class_keys(std::int64_t length, std::int64_t stride, std::int64_t residue);

/// No class has more keys than this.
std::int64_t class_keys_limit(const Problem& problem, std::int64_t stride);

/// Copies rows first, first + step, ... of a head to contiguous ones.
void copy_rows(const ConstTensorView& from, const HeadIndex& at, std::int64_t first,
               std::int64_t step, std::int64_t count, float* to);

}  // namespace attnbench::kernels
