// Tiles of Gaussian-weighted windows; scored_softmax_window.h puts them together. Internal to
// kernels/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/scored_softmax_tiles.h"
#include "kernels/scored_softmax_window.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

/// Queries whose positions are predicted together.
constexpr int kPredictedQueries = 32;

struct MonotonicTile {
  const Problem& problem;
  const LaneTile& tile;
  const KeyPattern& pattern;
  LogitShaping shaping;
  std::vector<KeyRun>& runs;
  std::int64_t window = 0;
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* scratch = nullptr;      ///< monotonic_floats(), 64-byte aligned.
  Upcoming* upcoming = nullptr;  ///< Fetched meanwhile, or null.
};
std::size_t monotonic_floats(const Problem& problem);
void run_monotonic_tile(const MonotonicTile& job);

struct PredictiveTile {
  const Problem& problem;
  const LaneTile& tile;  ///< At most kPredictedQueries lanes.
  const PositionNetwork& network;
  LogitShaping shaping;
  std::int64_t window = 0;
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* scratch = nullptr;  ///< predictive_floats(), 64-byte aligned.
};
/// Floats of one query's weights: a window of keys, padded to whole vectors.
std::int64_t window_floats(const Problem& problem, std::int64_t window);
/// Floats that hold 4 queries in float64.
std::int64_t wide_query_floats(const Problem& problem);
std::size_t predictive_floats(const Problem& problem, std::int64_t window);
void run_predictive_tile(const PredictiveTile& job);

}  // namespace attnbench::kernels
