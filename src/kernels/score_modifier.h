// What happens to scores between the product and the softmax: an additive mask, and other functions
// of the score, the query, the head and the key.
#pragma once

#include <cstdint>
#include <memory>

#include "attention/problem.h"
#include "kernels/key_pattern.h"

namespace attnbench::kernels {

/// The keys of a block of scores: consecutive from `first` on, or those of a list.
struct BlockKeys {
  std::int64_t first = 0;
  std::int64_t count = 0;
  const std::int64_t* index = nullptr;  ///< [count]; null when consecutive.

  std::int64_t operator[](std::int64_t n) const { return index == nullptr ? first + n : index[n]; }
};

/// One query of one query head.
struct QueryIndex {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t query = 0;
};

/// Changes scores, which are scaled logits in base 2 (times log2 e). Engines apply it once per
/// block, before the mask; scores of pairs that the mask forbids are overwritten after it.
class ScoreModifier {
 public:
  virtual ~ScoreModifier() = default;
  /// S^T of a tile: scores[n * kTileQueries + lane] belongs to keys[n]. Only the tile's lanes
  /// count, but all kTileQueries columns may be read and written. `scores` is 64-byte aligned.
  virtual void block(const TileQueries& tile, const BlockKeys& keys, float* scores) const = 0;
  /// scores[n], n < keys.count, of one query.
  virtual void row(const QueryIndex& at, const BlockKeys& keys, float* scores) const = 0;
};

/// What the problem asks for; null when scores are used as they are. Refers to the problem's mask,
/// not to the problem.
std::unique_ptr<const ScoreModifier> make_score_modifier(const Problem& problem);

}  // namespace attnbench::kernels
