// Distinct integers drawn from a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "attention/inputs.h"

namespace attnbench {

/// `count` distinct integers in [0, limit), count <= limit, in the order drawn; draw number t uses
/// rng.bits(first_draw + t). Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance").
inline void draw_distinct(const CounterRng& rng, std::uint64_t first_draw, std::int64_t count,
                          std::int64_t limit, std::vector<std::int64_t>& chosen) {
  chosen.clear();
  for (std::int64_t t = limit - count; t < limit; ++t) {
    const std::uint64_t bits = rng.bits(first_draw + chosen.size());
    auto pick = static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(t + 1));
    if (std::ranges::find(chosen, pick) != chosen.end()) pick = t;
    chosen.push_back(pick);
  }
}

}  // namespace attnbench
