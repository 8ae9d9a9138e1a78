// Which keys the queries of a dilated window with global positions read. Internal to kernels/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/global_window.h"
#include "kernels/key_pattern.h"

namespace attnbench::kernels {

/// What the queries of one residue class read, for one batch row: source 0 has the keys of the
/// class (from the first_key-th on), source 1 the global keys. Positions are in class coordinates.
/// The global window outlives it.
class ClassPattern final : public KeyPattern {
 public:
  ClassPattern(const Problem& p, const GlobalWindow& g, std::int64_t residue, std::int64_t batch,
               std::int64_t first_key);

  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override;
  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override;
  bool in_place(int source) const override { return source == 0 && dilation_ == 1; }
  std::int64_t key(int source, std::int64_t at) const override {
    if (source == 1) return globals_[static_cast<std::size_t>(at)];
    return residue_ + (at + first_key_) * dilation_;
  }

 private:
  /// The last position that a window reaches.
  std::int64_t high_position(std::int64_t t) const { return causal_ ? t : t + window_; }
  std::int64_t low(std::int64_t t) const;
  std::int64_t high(std::int64_t t) const;
  void add(std::vector<KeyRun>& out, int source, std::int64_t begin, std::int64_t end,
           bool masked) const;
  /// Lanes that read global key j from source 1: it is not in their window, nor after them.
  std::uint64_t column_lanes(const TileQueries& tile, std::int64_t j) const;
  /// Index of the first global key that is not below j, within the batch row's length.
  std::int64_t column(std::int64_t j) const;
  /// Runs over source 1: keys before all windows, those near them, and (not causal) those after.
  void column_runs(const TileQueries& tile, std::vector<KeyRun>& out) const;

  const std::vector<std::int64_t>& globals_;
  std::int64_t window_, dilation_, residue_;
  bool causal_;
  std::int64_t first_key_, keys_, columns_;
};

}  // namespace attnbench::kernels
