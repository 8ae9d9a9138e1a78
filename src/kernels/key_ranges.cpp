#include "kernels/key_ranges.h"

#include <algorithm>

#include "kernels/narrow_tile.h"

namespace attnbench::kernels {
namespace {

/// From the first to the last key of `within` whose word has one of `bits`.
KeySpan range_of(const std::uint64_t* mask, KeySpan within, std::uint64_t bits) {
  while (within.begin < within.end && (mask[within.begin] & bits) == 0) ++within.begin;
  while (within.begin < within.end && (mask[within.end - 1] & bits) == 0) --within.end;
  return within;
}

/// A row is a whole number of these with every instruction set.
constexpr std::int64_t kRowMultiple = 16;
/// More keys than this are not few.
constexpr std::int64_t kFewKeys = 256;

}  // namespace

BlockRanges block_ranges(const std::uint64_t* mask, int keys, int lanes, TileParts parts) {
  BlockRanges ranges;
  ranges.parts = parts;
  for_each_part(ranges, lanes, [&](int first, int last) {
    const KeySpan all{0, keys};
    return mask == nullptr ? all : range_of(mask, all, lane_range(first, last + 1));
  });
  return ranges;
}

BlockRanges block_ranges(const KeyPattern& pattern, const TileQueries& tile,
                         const std::vector<KeyRun>& runs, const KeyBlock& block,
                         std::uint64_t* mask, TileParts parts) {
  const auto keys = static_cast<int>(block.end - block.begin);
  if (!block.masked) return block_ranges(nullptr, keys, tile.lanes, parts);
  block_mask(pattern, tile, runs, block, mask);
  BlockRanges ranges;
  ranges.parts = parts;
  if (pattern.ranges(tile, block.source, block.begin, block.end, ranges)) return ranges;
  return block_ranges(mask, keys, tile.lanes, parts);
}

RangeCuts::RangeCuts(const BlockRanges& ranges) {
  for (const KeySpan& range : ranges.column) {
    if (range.empty()) continue;
    add(range.begin);
    add(range.end);
  }
}

void RangeCuts::add(int key) {
  int place = count;
  while (place > 0 && at[place - 1] > key) --place;
  if (place > 0 && at[place - 1] == key) return;
  std::copy_backward(at + place, at + count, at + count + 1);
  at[place] = key;
  ++count;
}

BlockPairs block_pairs(const BlockRanges& ranges, int lanes, bool by_rows) {
  BlockPairs pairs;
  if (ranges.parts == TileParts::quads) {
    for (int lane = 0; lane < lanes; lane += kQuadLanes) {
      pairs.scores +=
          std::int64_t{ranges.quad[lane / kQuadLanes].keys()} * std::min(kQuadLanes, lanes - lane);
    }
    pairs.values = pairs.scores;
    pairs.exps = pairs.scores + lanes;
    return pairs;
  }
  for (int c = 0; c < kRangeColumns; ++c) {
    const int here = range_column_lanes(c, lanes);
    const int keys = ranges.column[c].keys();
    pairs.scores += std::int64_t{keys} * here;
    pairs.exps += keys > 0 ? here : 0;
  }
  pairs.exps += pairs.scores;
  pairs.values = pairs.scores;
  if (!by_rows) return pairs;
  pairs.values = 0;
  for (int g = 0; g < kRowGroups; ++g) {
    pairs.values += std::int64_t{ranges.group[g].keys()} * row_group_lanes(g, lanes);
  }
  return pairs;
}

bool reads_in_quads(const KeyPattern& pattern, const std::vector<KeyRun>& runs) {
  if (!pattern.few_keys() || runs.empty()) return false;
  for (std::size_t r = 1; r < runs.size(); ++r) {
    if (runs[r].source != runs[0].source || runs[r].begin != runs[r - 1].end) return false;
  }
  return runs.back().end - runs.front().begin <= kMostBlockKeys;
}

bool output_by_rows(const std::vector<KeyRun>& runs, int lanes, std::int64_t dim_v) {
  if (lanes <= kNarrowLanes || dim_v % kRowMultiple != 0) return false;
  std::int64_t keys = 0;
  bool masked = false;
  for (const KeyRun& run : runs) {
    keys += run.end - run.begin;
    masked = masked || run.masked;
  }
  return masked && keys <= kFewKeys;
}

}  // namespace attnbench::kernels
