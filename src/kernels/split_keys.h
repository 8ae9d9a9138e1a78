// Few queries, few heads, many keys: the keys of one tile shared out among threads, each of which
// leaves an unnormalised output with its running maximum and sum; the parts are then merged (Dao,
// Haziza, Massa, Sizov 2023, "Flash-Decoding for long-context inference"). Internal to kernels/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// Parts that the keys of each (batch row, key-value head) are split into: 1 unless a tile is all
/// there is of a head and there are fewer heads than threads.
std::int64_t key_splits(const Problem& problem, int threads);

/// The part-th of `parts` equal shares of the keys that another pattern visits.
class KeyShare final : public KeyPattern {
 public:
  KeyShare(const KeyPattern& base, std::int64_t part, std::int64_t parts)
      : base_(base), part_(part), parts_(parts) {}
  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override;
  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override {
    base_.mask(tile, source, begin, end, bits);
  }
  bool few_keys() const override { return base_.few_keys(); }
  bool in_place(int source) const override { return base_.in_place(source); }
  std::int64_t key(int source, std::int64_t at) const override { return base_.key(source, at); }

 private:
  const KeyPattern& base_;
  std::int64_t part_, parts_;
};

/// One output row's parts: `rows` [parts][dim], unnormalised, and their states. Writes the row;
/// with `total` it stays unnormalised and its state goes there.
struct PartialRow {
  const float* rows = nullptr;
  std::int64_t row_stride = 0;
  const SoftmaxState* states = nullptr;
  std::int64_t state_stride = 0;
  std::int64_t parts = 0;
  std::int64_t dim = 0;
  float* out = nullptr;
  SoftmaxState* total = nullptr;
};
void merge_parts(const PartialRow& row);

}  // namespace attnbench::kernels
