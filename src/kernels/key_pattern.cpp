#include "kernels/key_pattern.h"

#include <algorithm>
#include <array>

#include "kernels/key_ranges.h"

namespace attnbench::kernels {
namespace {

void append(std::vector<KeyRun>& out, std::int64_t begin, std::int64_t end, bool masked) {
  if (begin < end) out.push_back({0, begin, end, masked});
}

/// Word i has the lanes below i - kTileQueries: none before the first lane, all after the last.
constexpr auto kLanesBelow = [] {
  std::array<std::uint64_t, std::size_t{3} * kTileQueries> words{};
  int lanes = -kTileQueries;
  for (std::uint64_t& word : words) word = lane_range(0, std::max(0, lanes++));
  return words;
}();

}  // namespace

const std::uint64_t* lanes_below(std::int64_t first) {
  constexpr std::int64_t kMost = kTileQueries;
  static_assert(kKeyBlock <= kMost);
  return kLanesBelow.data() + kMost + std::clamp(first, -kMost, kMost);
}

bool consecutive(const TileQueries& tile) {
  std::int64_t differences = 0;
  for (int lane = 0; lane < tile.lanes; ++lane) {
    differences |= tile.position[lane] - tile.first() - lane;
  }
  return differences == 0;
}

bool KeyPattern::ranges(const TileQueries&, int, std::int64_t, std::int64_t, BlockRanges&) const {
  return false;
}

bool KeyPattern::in_place(int) const { return true; }

std::int64_t KeyPattern::key(int, std::int64_t at) const { return at; }

void BlockCursor::start_stretch() {
  run_ = next_run_;
  begin_ = runs_[run_].begin;
  std::int64_t end = runs_[run_].end;
  for (++next_run_; next_run_ < runs_.size(); ++next_run_) {
    const KeyRun& run = runs_[next_run_];
    if (run.source != runs_[run_].source || run.begin != end) break;
    end = run.end;
  }
  keys_ = end - begin_;
  blocks_ = (keys_ + most_keys_ - 1) / most_keys_;
  block_ = 0;
}

bool BlockCursor::next(KeyBlock& block) {
  if (block_ == blocks_) {
    if (next_run_ == runs_.size()) return false;
    start_stretch();
  }
  block.source = runs_[run_].source;
  block.begin = cut(block_);
  block.end = cut(block_ + 1);
  ++block_;
  while (runs_[run_].end <= block.begin) ++run_;
  block.first_run = run_;
  block.masked = false;
  for (std::size_t r = run_; r < next_run_ && runs_[r].begin < block.end; ++r) {
    block.masked = block.masked || runs_[r].masked;
  }
  return true;
}

BlockCount BlockCursor::skip_unmasked() {
  if (block_ == blocks_) {
    if (next_run_ == runs_.size()) return {};
    start_stretch();
  }
  const std::int64_t begin = cut(block_);
  while (runs_[run_].end <= begin) ++run_;
  if (runs_[run_].masked) return {};
  // The last cut that is not beyond the run.
  const std::int64_t within = runs_[run_].end - begin_;
  const std::int64_t last = std::min(blocks_, ((within + 1) * blocks_ - 1) / keys_);
  if (last <= block_) return {};
  const BlockCount skipped{last - block_, cut(last) - begin};
  block_ = last;
  return skipped;
}

BlockCount BlockCursor::count(const std::vector<KeyRun>& runs) {
  BlockCount all;
  BlockCursor cursor(runs);
  while (cursor.next_run_ < runs.size()) {
    cursor.start_stretch();
    all.blocks += cursor.blocks_;
    all.keys += cursor.keys_;
  }
  return all;
}

std::vector<KeyBlock> all_blocks(const std::vector<KeyRun>& runs, int most_keys) {
  std::vector<KeyBlock> all;
  BlockCursor cursor(runs, most_keys);
  for (KeyBlock block; cursor.next(block);) all.push_back(block);
  return all;
}

void block_mask(const KeyPattern& pattern, const TileQueries& tile, const std::vector<KeyRun>& runs,
                const KeyBlock& block, std::uint64_t* bits) {
  std::int64_t at = block.begin;
  for (std::size_t r = block.first_run; at < block.end; ++r) {
    const std::int64_t end = std::min(runs[r].end, block.end);
    if (runs[r].masked) {
      pattern.mask(tile, block.source, at, end, bits + (at - block.begin));
    } else {
      std::fill(bits + (at - block.begin), bits + (end - block.begin), ~std::uint64_t{0});
    }
    at = end;
  }
}

void WindowPattern::runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
  const std::int64_t begin = low(tile.batch, tile.first());
  const std::int64_t end = high(tile.batch, tile.last());
  // Keys that every lane may read.
  const std::int64_t all_from = low(tile.batch, tile.last());
  const std::int64_t all_to = high(tile.batch, tile.first());
  if (all_from >= all_to) {
    append(out, begin, end, true);
    return;
  }
  append(out, begin, all_from, true);
  append(out, all_from, all_to, false);
  append(out, all_to, end, true);
}

void WindowPattern::mask(const TileQueries& tile, int, std::int64_t begin, std::int64_t end,
                         std::uint64_t* bits) const {
  // Visited keys are within the key length, so that no window is cut here.
  if (consecutive(tile)) {
    const std::int64_t first = begin - diagonal_ - tile.first();
    constexpr std::int64_t kAll = kTileQueries;
    for (std::int64_t j = begin; j < end; j += kKeyBlock) {
      const std::int64_t at = first + j - begin;
      const std::uint64_t* ended = lanes_below(right_ == kUnlimited ? -kAll : at - right_);
      const std::uint64_t* started = lanes_below(left_ == kUnlimited ? kAll : at + left_ + 1);
      const std::int64_t keys = std::min<std::int64_t>(end - j, kKeyBlock);
      for (std::int64_t n = 0; n < keys; ++n) bits[j - begin + n] = started[n] & ~ended[n];
    }
    return;
  }
  int started = left_ == kUnlimited ? tile.lanes : 0;  // Lanes below: begun at or before key j.
  int ended = 0;                                       // Lanes below: ended before key j.
  for (std::int64_t j = begin; j < end; ++j) {
    const std::int64_t last = j - diagonal_ + left_, first = j - diagonal_ - right_;
    while (started < tile.lanes && tile.position[started] <= last) ++started;
    if (right_ != kUnlimited) {
      while (ended < tile.lanes && tile.position[ended] < first) ++ended;
    }
    bits[j - begin] = lane_range(ended, started);
  }
}

bool WindowPattern::ranges(const TileQueries& tile, int, std::int64_t begin, std::int64_t end,
                           BlockRanges& ranges) const {
  // Both ends move on by one key from lane to lane, so that no lane's keys lie beyond those between
  // the first lane's first and the last lane's last.
  if (!consecutive(tile)) return false;
  const auto keys = static_cast<int>(end - begin);
  const auto within = [&](std::int64_t key) {
    return static_cast<int>(std::clamp<std::int64_t>(key - begin, 0, keys));
  };
  for_each_part(ranges, tile.lanes, [&](int first, int last) {
    const int from = left_ == kUnlimited ? 0 : within(tile.position[first] + diagonal_ - left_);
    const int to =
        right_ == kUnlimited ? keys : within(tile.position[last] + diagonal_ + right_ + 1);
    return KeySpan{from, std::max(from, to)};
  });
  return true;
}

std::int64_t WindowPattern::low(std::int64_t batch, std::int64_t i) const {
  if (left_ == kUnlimited) return 0;
  return std::clamp<std::int64_t>(i + diagonal_ - left_, 0, key_length(batch));
}

std::int64_t WindowPattern::high(std::int64_t batch, std::int64_t i) const {
  if (right_ == kUnlimited) return key_length(batch);
  return std::clamp<std::int64_t>(i + diagonal_ + right_ + 1, 0, key_length(batch));
}

}  // namespace attnbench::kernels
