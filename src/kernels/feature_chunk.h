// The steps of feature attention on one chunk of keys or queries; feature_attention.h puts them
// together. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/feature_attention.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

/// What the rectified map adds to every feature (Choromanski et al. 2021, Performer-ReLU).
constexpr float kRectifiedFloor = 1e-3F;

/// Queries whose scores within a causal chunk are computed together.
constexpr std::int64_t kIntraColumns = 32;

struct FeatureShape {
  FeatureMap map = FeatureMap::exponential;
  const float* omega = nullptr;
  std::int64_t features = 0;
  std::int64_t dim_qk = 0;
  std::int64_t dim_v = 0;
  std::int64_t padded_dim_v = 0;  ///< To 16 floats.
  double root_scale = 1;          ///< sqrt(scale): the factor on queries and on keys.
};

/// S [features][padded_dim_v], z and c [features]; c is in base 2.
struct FeatureState {
  float* sum = nullptr;
  float* normaliser = nullptr;
  float* shift = nullptr;
};

/// Up to 64 keys with their values.
struct KeyChunk {
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  std::int64_t count = 0;
};

/// Up to 64 queries.
struct QueryChunk {
  const float* const* rows = nullptr;
  float* const* out = nullptr;
  std::int64_t count = 0;
};

/// A thread's scratch.
struct FeatureBuffers {
  float* packed;                 // [D][64]
  float* key_features;           // [features][64]
  float* query_features;         // [features][64]
  float* key_sums;               // [features]
  float* values;                 // [64][padded_dim_v]
  float* scores;                 // [64][64]
  float* output;                 // [Dv][64]
  float* denominator;            // [64]
  float* lanes;                  // [64]
  Upcoming* upcoming = nullptr;  ///< Fetched during projections, or null.
};

/// Keys of a chunk that some of the 32 queries from `column` on may read: key j is read by query
/// `lane` when j <= lane + diagonal.
inline std::int64_t visible_keys(std::int64_t keys, std::int64_t diagonal, std::int64_t column) {
  return std::clamp<std::int64_t>(column + kIntraColumns + diagonal, 0, keys);
}

/// Maps keys and adds them to the state.
void absorb_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                 const FeatureBuffers& b);
/// The first half of absorb_keys: features into b.key_features, the state brought to their shift.
void map_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
              const FeatureBuffers& b);
/// The second half.
void add_mapped_keys(const FeatureShape& s, const KeyChunk& keys, FeatureState& state,
                     const FeatureBuffers& b);
/// Output rows from the state, and, with `within`, from the mapped keys of the same chunk that each
/// query may read.
void answer_queries(const FeatureShape& s, const QueryChunk& queries, const KeyChunk* within,
                    std::int64_t diagonal, const FeatureState& state, const FeatureBuffers& b);
/// into = into + from.
void merge_states(const FeatureShape& s, const FeatureState& from, FeatureState& into);

}  // namespace attnbench::kernels
