// A mask from a file on top of any key pattern.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attention/problem.h"
#include "kernels/key_pattern.h"

namespace attnbench::kernels {

/// What a mask lets the queries of one tile read of whole blocks of 64 keys.
class TileMask {
 public:
  /// Refers to `mask`.
  TileMask(const AttentionMask& mask, const TileQueries& tile);
  /// Of keys [64 key_block, ...).
  AttentionMask::Block block(std::int64_t key_block) const;

 private:
  const AttentionMask& mask_;
  std::int64_t batch_, first_, last_, first_head_, last_head_;
};

/// The keys of another pattern that a mask lets through. Blocks of 64 keys that no query of a tile
/// may read are not visited, and those in which the mask forbids nothing are not masked, as far as
/// the source is in place; of gathered sources all keys are visited, and masked.
class MaskedPattern final : public KeyPattern {
 public:
  /// Refers to `base` and `mask`.
  MaskedPattern(const KeyPattern& base, const AttentionMask& mask) : base_(base), mask_(mask) {}
  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override;
  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override;
  bool few_keys() const override { return base_.few_keys(); }
  bool in_place(int source) const override { return base_.in_place(source); }
  std::int64_t key(int source, std::int64_t at) const override { return base_.key(source, at); }

 private:
  const KeyPattern& base_;
  const AttentionMask& mask_;
};

/// A pattern, under the mask of a problem where it has one. Refers to both.
class ProblemPattern {
 public:
  ProblemPattern(const Problem& problem, const KeyPattern& base) : base_(base) {
    if (problem.mask != nullptr) masked_.emplace(base, *problem.mask);
  }
  const KeyPattern& operator*() const { return masked_ ? *masked_ : base_; }

 private:
  const KeyPattern& base_;
  std::optional<MaskedPattern> masked_;
};

}  // namespace attnbench::kernels
