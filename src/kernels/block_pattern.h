// Attention under a mask of whole blocks, on the tiled engine: every block of query positions reads
// a list of key blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "attention/variant.h"

namespace attnbench::kernels {

/// The key blocks that each block of positions reads, as compressed sparse rows. Block b holds the
/// positions, or keys, from b * block to (b + 1) * block; the last one may be shorter. Query i is
/// at position i + Nk - Nq, so the first row is negative when there are more queries than keys.
struct BlockRows {
  std::int64_t block = 1;
  std::int64_t first_row = 0;
  std::vector<std::int64_t> begin{0};  ///< Row r is at columns[begin[r - first_row]] and on.
  std::vector<std::int64_t> columns;   ///< Ascending within a row, without repeats.

  std::span<const std::int64_t> row(std::int64_t r) const {
    const auto at = static_cast<std::size_t>(r - first_row);
    return {columns.data() + begin[at], static_cast<std::size_t>(begin[at + 1] - begin[at])};
  }
};

/// Asks columns_of(row, columns) for every row that has a query of the problem. Columns may come in
/// any order, with repeats and from outside of the keys: each key block counts once, those outside
/// do not count. An empty row gives zeros.
using ColumnsOf = std::function<void(std::int64_t row, std::vector<std::int64_t>& columns)>;
BlockRows make_block_rows(const Problem& problem, std::int64_t block, const ColumnsOf& columns_of);

/// Number of key blocks.
std::int64_t block_count(const Problem& problem, std::int64_t block);

/// A plan that runs softmax attention under `rows`, intersected with the problem's base mask. A
/// tile holds queries of one block row only, so that nothing but the causal diagonal is ever
/// masked; the longest rows of a head come first.
std::unique_ptr<Plan> make_block_plan(const Problem& problem, BlockRows rows);

/// Its cost; `dense_flops(problem)` are the useful ones.
Cost block_plan_cost(const Problem& problem, const BlockRows& rows, int threads);

}  // namespace attnbench::kernels
