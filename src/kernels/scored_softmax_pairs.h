// The steps of attention by a score network; scored_softmax.h puts them together. Internal to
// kernels/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/scored_softmax.h"
#include "kernels/scored_softmax_tiles.h"

namespace attnbench::kernels {

/// One tile's work.
struct PairTile {
  const PairScore& score;
  const LaneTile& tile;
  const KeyPattern& pattern;
  std::vector<KeyRun>& runs;
  const float* keys = nullptr;   ///< [Nk][hidden_stride] of this head: powers, or exponents
  const float* reach = nullptr;  ///< [Nk]: largest |exponent|; beyond kKeyReach: exponents
  const float* v = nullptr;
  std::ptrdiff_t v_stride = 0;
  std::int64_t dim_v = 0;
  LogitShaping shaping = {};
  float* scratch = nullptr;  ///< pair_tile_floats(), 64-byte aligned
};
std::size_t pair_tile_floats(std::int64_t dim_qk, std::int64_t dim_v, std::int64_t hidden,
                             std::int64_t outputs);
void run_pair_tile(const PairTile& job);

/// Wk k of `count` keys into keys [count][hidden_stride] and reach [count].
void project_pair_keys(const PairScore& score, const float* k, std::ptrdiff_t k_stride,
                       std::int64_t count, float* keys, float* reach);

/// What the score of one pair executes.
struct PairOps {
  std::int64_t multiply_adds = 0;
  std::int64_t exps = 0;
};
inline PairOps pair_ops(std::int64_t hidden, std::int64_t outputs) {
  // Four units of the last layer: one sum of quotients (13 FLOP), its subtraction, and E F + 1 of
  // each (8), or 1 + 2^w with its bias (8).
  constexpr std::int64_t kQuadMultiplyAdds = 11;
  const auto quads = [](std::int64_t units) { return (units + 3) / 4; };
  if (outputs == 0) return {quads(hidden) * kQuadMultiplyAdds, 0};
  // First layer: E F + 1 (2 FLOP) and a reciprocal with its Newton step (4).
  return {3 * hidden + hidden * outputs + quads(outputs) * kQuadMultiplyAdds, outputs};
}

}  // namespace attnbench::kernels
