// Tiles of Gaussian-weighted windows; scored_softmax_window.h puts them together. Internal to
// kernels/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/scored_softmax_tiles.h"
#include "kernels/scored_softmax_window.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

/// Of `rows` keys and values, those that are asked for: no more than the second-level cache keeps
/// until they are read.
inline std::int64_t rows_ahead(const Problem& p, std::int64_t rows) {
  constexpr std::int64_t kMostFloats = std::int64_t{1} << 15;  // 128 KiB.
  return std::clamp<std::int64_t>(rows, 0, kMostFloats / (p.dim_qk + p.dim_v));
}

/// What take_per_thread() takes from the workspace.
inline std::size_t per_thread_bytes(std::size_t floats, int threads) {
  return static_cast<std::size_t>(threads) * workspace_take_bytes(floats);
}

/// Queries whose windows are weighed together.
constexpr int kPredictedQueries = 32;

struct MonotonicTile {
  const Problem& problem;
  const LaneTile& tile;
  const KeyPattern& pattern;
  LogitShaping shaping;
  std::vector<KeyRun>& runs;
  const GaussianTable& gaussian;
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* scratch = nullptr;      ///< monotonic_floats(), 64-byte aligned.
  Upcoming* upcoming = nullptr;  ///< Fetched meanwhile, or null.
};
std::size_t monotonic_floats(const Problem& problem);
void run_monotonic_tile(const MonotonicTile& job);

/// Queries of one head whose positions are predicted before their windows are visited in the order
/// of the keys: neighbours in that order share most of their keys.
constexpr int kPredictedBlock = 2048;

/// Queries whose network is computed together, at most.
constexpr int kMostNetworkQueries = 12;

/// A position or an edge of a window as an index in [0, keys]; 0 for NaN.
inline std::int64_t index_within(double position, std::int64_t keys) {
  return static_cast<std::int64_t>(std::min(std::max(0.0, position), static_cast<double>(keys)));
}

/// The keys of one query: [begin, begin + count) are visited, of these the ones of [low, high),
/// counted from begin, weighted.
struct KeyWindow {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t low = 0;
  std::int64_t high = 0;
  float center = 0;  ///< Relative to begin.
};
/// The window around a position, of which keys [0, keys) may be read. Always as many keys are
/// visited, if there are, at the end of those where the window lies beyond it.
KeyWindow key_window(double center, std::int64_t reach, std::int64_t keys);

struct PredictionJob {
  const PositionNetwork& network;
  const float* const* q_rows = nullptr;
  int queries = 0;
  int rows = 0;  ///< The queries, and those that are known to follow, which are fetched meanwhile.
  std::int64_t keys = 0;        ///< Nk
  double* positions = nullptr;  ///< Of every query, with room for whole vectors.
  double* scratch = nullptr;    ///< prediction_doubles()
};
std::size_t prediction_doubles(std::int64_t dim, std::int64_t padded_hidden);
void predict_positions(const PredictionJob& job);

struct PredictedTile {
  const Problem& problem;
  const LaneTile& tile;  ///< At most kPredictedQueries lanes, of any queries of a head.
  LogitShaping shaping;
  std::int64_t window = 0;
  const KeyWindow* windows = nullptr;  ///< Of every lane.
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* scratch = nullptr;      ///< kPredictedQueries + 1 times window_floats(), 64-byte aligned.
  Upcoming* upcoming = nullptr;  ///< Fetched meanwhile, or null.
};
/// Floats of one query's weights: a window of keys, padded to whole vectors.
std::int64_t window_floats(const Problem& problem, std::int64_t window);
void run_predicted_tile(const PredictedTile& job);

}  // namespace attnbench::kernels
