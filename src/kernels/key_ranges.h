// Which keys of a masked block take part in a tile's products: not the whole block, but, for every
// few lanes, from the first key that one of them may read to the last. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/key_pattern.h"

namespace attnbench::kernels {

/// Lanes whose scores are computed together: a register tile's columns with the narrowest
/// instruction set, one vector of the widest.
constexpr int kRangeLanes = 16;
constexpr int kRangeColumns = kTileQueries / kRangeLanes;
/// Lanes whose outputs are computed together where they are kept by rows: kRangeLanes in register
/// tiles of 6, 6 and 4 rows.
constexpr int kRowGroupsPerColumn = 3;
constexpr int kRowGroups = kRangeColumns * kRowGroupsPerColumn;

/// Lanes that are computed together where queries read few keys (quad_products-inl.h).
constexpr int kQuadLanes = 4;
constexpr int kQuads = kTileQueries / kQuadLanes;

/// Keys [begin, end) of a block, counted from its first.
struct KeySpan {
  int begin = 0;
  int end = 0;

  int keys() const { return end - begin; }
  bool empty() const { return begin == end; }
  bool operator==(const KeySpan&) const = default;
};

/// The first lane of a group of rows, and how many of a tile's `lanes` it has.
constexpr int row_group_begin(int group) {
  return group / kRowGroupsPerColumn * kRangeLanes + group % kRowGroupsPerColumn * 6;
}
constexpr int row_group_lanes(int group, int lanes) {
  const int most = group % kRowGroupsPerColumn == kRowGroupsPerColumn - 1 ? 4 : 6;
  const int left = lanes - row_group_begin(group);
  return left < 0 ? 0 : left < most ? left : most;
}
/// Lanes of a tile's `lanes` in a column of kRangeLanes.
constexpr int range_column_lanes(int column, int lanes) {
  const int left = lanes - column * kRangeLanes;
  return left < 0 ? 0 : left < kRangeLanes ? left : kRangeLanes;
}

/// How a tile is cut.
enum class TileParts {
  columns,  ///< Columns of lanes, and groups of rows.
  quads,    ///< Four lanes each, for everything.
};

/// The keys of one block that each part of a tile's products takes.
struct BlockRanges {
  TileParts parts = TileParts::columns;
  KeySpan column[kRangeColumns];  ///< Of the scores, kRangeLanes each.
  KeySpan group[kRowGroups];      ///< Of the outputs by rows.
  KeySpan quad[kQuads];           ///< Of both, where parts are quads; otherwise empty.
};

/// Ranges of a block of `keys` keys under its mask words, or of one that is not masked (null).
BlockRanges block_ranges(const std::uint64_t* mask, int keys, int lanes,
                         TileParts parts = TileParts::columns);

/// The same of a block of a tile, whose mask words are written to `mask` (kMostBlockKeys words) if
/// it is masked.
BlockRanges block_ranges(const KeyPattern& pattern, const TileQueries& tile,
                         const std::vector<KeyRun>& runs, const KeyBlock& block,
                         std::uint64_t* mask, TileParts parts = TileParts::columns);

/// Sets the range of every part of a tile's lanes to range(first lane, last lane).
template <class Range>
void for_each_part(BlockRanges& ranges, int lanes, Range range) {
  if (ranges.parts == TileParts::quads) {
    for (int lane = 0; lane < lanes; lane += kQuadLanes) {
      ranges.quad[lane / kQuadLanes] = range(lane, std::min(lane + kQuadLanes, lanes) - 1);
    }
    return;
  }
  for (int c = 0; c * kRangeLanes < lanes; ++c) {
    const int begin = c * kRangeLanes;
    ranges.column[c] = range(begin, begin + range_column_lanes(c, lanes) - 1);
    for (int g = c * kRowGroupsPerColumn; g < (c + 1) * kRowGroupsPerColumn; ++g) {
      const int from = row_group_begin(g), count = row_group_lanes(g, lanes);
      if (count > 0) ranges.group[g] = range(from, from + count - 1);
    }
  }
}

/// Where the range of some column begins or ends: ascending, each once.
struct RangeCuts {
  explicit RangeCuts(const BlockRanges& ranges);
  int at[2 * kRangeColumns];
  int count = 0;

 private:
  void add(int key);
};

/// (lane, key) pairs of a block that products and exponentials are executed for.
struct BlockPairs {
  std::int64_t scores = 0;
  std::int64_t values = 0;
  std::int64_t exps = 0;  ///< One a pair of the scores, and one a lane whose sum is rescaled.
};
BlockPairs block_pairs(const BlockRanges& ranges, int lanes, bool by_rows);

/// Whether a tile keeps its output by rows, O[lane][d], and not transposed: where it reads few
/// keys, many of which are masked. Its products then leave out more of the masked pairs, and its
/// output needs no transpose; with many keys, the values of a block would not stay in the
/// first-level cache beside its weights.
bool output_by_rows(const std::vector<KeyRun>& runs, int lanes, std::int64_t dim_v);
/// Whether a tile is computed four lanes at a time (quad_tile.h): where the pattern says that
/// queries read few keys, and those of the tile are one block.
bool reads_in_quads(const KeyPattern& pattern, const std::vector<KeyRun>& runs);
/// Keys of a block at most: where outputs are kept by rows, each part of a tile takes few of them,
/// and should take these at once.
constexpr int block_keys(bool by_rows) { return by_rows ? kMostBlockKeys : kKeyBlock; }

}  // namespace attnbench::kernels
