// A dilated window around each query and a set of global positions, on the tiled engine (Beltagy,
// Peters, Cohan 2020, "Longformer", arXiv 2004.05150, section 3.1).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "attention/variant.h"

namespace attnbench::kernels {

/// Query at position p = i + Nk - Nq reads the keys p + dilation * t with |t| <= window, and the
/// global keys; a query at a global position reads all keys. The problem's base mask cuts all
/// three.
struct GlobalWindow {
  std::int64_t window = 0;
  std::int64_t dilation = 1;
  std::vector<std::int64_t> globals;  ///< Ascending, without repeats, below Nk.
};

/// The global keys and values are gathered once per head and are a second key source, from which
/// each query takes what its window does not have: a key counts once. With a dilation, queries run
/// in residue order: those of one residue class modulo the dilation read contiguous rows of their
/// class, gathered once. Queries at global positions have tiles of their own, which come first.
std::unique_ptr<Plan> make_global_window_plan(const Problem& problem, GlobalWindow pattern);

/// Its cost; `dense_flops(problem)` are the useful ones.
Cost global_window_cost(const Problem& problem, const GlobalWindow& pattern, int threads);

}  // namespace attnbench::kernels
