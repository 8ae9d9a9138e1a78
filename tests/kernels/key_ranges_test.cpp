// Ranges of a block's keys against a search of its mask, and what is counted of them.
#include "kernels/key_ranges.h"

#include <gtest/gtest.h>

#include <random>

namespace attnbench::kernels {
namespace {

/// From the first to the last key that one of lanes [first, last] may read.
KeySpan searched(const std::vector<std::uint64_t>& mask, int first, int last) {
  KeySpan span{static_cast<int>(mask.size()), 0};
  for (int j = 0; j < static_cast<int>(mask.size()); ++j) {
    for (int lane = first; lane <= last; ++lane) {
      if ((mask[static_cast<std::size_t>(j)] >> lane & 1) == 0) continue;
      span.begin = std::min(span.begin, j);
      span.end = j + 1;
    }
  }
  return span.end == 0 ? KeySpan{0, 0} : span;
}

void expect_same(const KeySpan& got, const KeySpan& want) {
  EXPECT_EQ(got.keys(), want.keys());
  if (!want.empty()) {
    EXPECT_EQ(got.begin, want.begin);
  }
}

void expect_searched(const BlockRanges& ranges, const std::vector<std::uint64_t>& mask, int lanes) {
  for (int lane = 0; lane < lanes; lane += 16) {
    expect_same(ranges.column[lane / 16], searched(mask, lane, std::min(lane + 15, lanes - 1)));
  }
  int lane = 0;
  for (int g = 0; g < kRowGroups && lane < lanes; ++g) {
    const int count = std::min(g % 3 == 2 ? 4 : 6, lanes - lane);
    expect_same(ranges.group[g], searched(mask, lane, lane + count - 1));
    lane += count;
  }
  EXPECT_EQ(lane, lanes) << "groups of rows hold every lane";
}

void expect_searched_quads(const BlockRanges& ranges, const std::vector<std::uint64_t>& mask,
                           int lanes) {
  for (int lane = 0; lane < kTileQueries; lane += 4) {
    const KeySpan none{0, 0};
    expect_same(ranges.quad[lane / 4],
                lane < lanes ? searched(mask, lane, std::min(lane + 3, lanes - 1)) : none);
  }
  EXPECT_TRUE(ranges.column[0].empty());
}

TEST(BlockRanges, AreWhatASearchOfTheMaskFinds) {
  std::mt19937_64 random(1);
  for (int lanes : {1, 6, 7, 16, 17, 40, 63, 64}) {
    for (int keys : {1, 5, 64}) {
      for (int sparsity : {0, 2, 5, 9}) {
        std::vector<std::uint64_t> mask(static_cast<std::size_t>(keys), ~std::uint64_t{0});
        for (std::uint64_t& word : mask) {
          for (int i = 0; i < sparsity; ++i) word &= random();
        }
        expect_searched(block_ranges(mask.data(), keys, lanes), mask, lanes);
        expect_searched_quads(block_ranges(mask.data(), keys, lanes, TileParts::quads), mask,
                              lanes);
      }
    }
  }
}

TEST(BlockRanges, OfAWholeBlockAreAllOfIt) {
  const BlockRanges ranges = block_ranges(nullptr, 37, 20);
  EXPECT_EQ(ranges.column[0], (KeySpan{0, 37}));
  EXPECT_EQ(ranges.column[1], (KeySpan{0, 37}));
  EXPECT_TRUE(ranges.column[2].empty());
  EXPECT_EQ(ranges.group[3], (KeySpan{0, 37})) << "lanes 16 to 19";
  EXPECT_TRUE(ranges.group[4].empty());
}

/// Every block of a tile at `first`, by the pattern's own ranges and by its masks.
void expect_ranges_of(const KeyPattern& pattern, std::int64_t first, int lanes, bool repeated) {
  TileQueries tile;
  tile.lanes = lanes;
  for (int lane = 0; lane < lanes; ++lane)
    tile.position[lane] = first + (repeated ? lane / 3 : lane);
  std::vector<KeyRun> runs;
  pattern.runs(tile, runs);
  for (const int most_keys : {kKeyBlock, kMostBlockKeys}) {
    BlockCursor blocks(runs, most_keys);
    for (KeyBlock block; blocks.next(block);) {
      EXPECT_LE(block.end - block.begin, most_keys);
      if (!block.masked) continue;
      std::vector<std::uint64_t> mask(static_cast<std::size_t>(block.end - block.begin));
      std::uint64_t words[kMostBlockKeys];
      const BlockRanges ranges = block_ranges(pattern, tile, runs, block, words);
      block_mask(pattern, tile, runs, block, mask.data());
      EXPECT_TRUE(std::equal(mask.begin(), mask.end(), words));
      expect_searched(ranges, mask, lanes);
      BlockRanges own;
      EXPECT_EQ(pattern.ranges(tile, block.source, block.begin, block.end, own), !repeated);
      expect_searched_quads(block_ranges(pattern, tile, runs, block, words, TileParts::quads), mask,
                            lanes);
    }
  }
}

TEST(BlockRanges, OfWindowsFollowFromThePositions) {
  for (std::int64_t left : {-1, 0, 10, 100}) {
    for (std::int64_t right : {-1, 0, 3, 70}) {
      for (std::int64_t diagonal : {-20, 0, 33}) {
        const WindowPattern pattern(left, right, diagonal, 200, {170});
        for (std::int64_t first : {0, 21, 150}) {
          for (int lanes : {9, 32, 64}) {
            SCOPED_TRACE(testing::Message() << left << " " << right << " " << diagonal << " "
                                            << first << " " << lanes);
            expect_ranges_of(pattern, first, lanes, false);
            expect_ranges_of(pattern, first, lanes, true);
          }
        }
      }
    }
  }
}

TEST(RangeCuts, AreEveryBeginAndEndOnce) {
  BlockRanges ranges;
  ranges.column[0] = {0, 40};
  ranges.column[1] = {16, 40};
  ranges.column[3] = {16, 64};
  const RangeCuts cuts(ranges);
  EXPECT_EQ(std::vector<int>(cuts.at, cuts.at + cuts.count), (std::vector<int>{0, 16, 40, 64}));
}

TEST(BlockPairs, CountWhatEachPartTakes) {
  BlockRanges ranges;
  ranges.column[0] = {0, 10};
  ranges.column[1] = {5, 5};
  ranges.group[0] = {0, 8};
  ranges.group[2] = {4, 10};
  const BlockPairs rows = block_pairs(ranges, 20, true);
  EXPECT_EQ(rows.scores, 160);
  EXPECT_EQ(rows.values, 8 * 6 + 6 * 4);
  EXPECT_EQ(rows.exps, 160 + 16) << "the second column's sums are not rescaled";
  EXPECT_EQ(block_pairs(ranges, 20, false).values, 160);
}

TEST(BlockPairs, CountWhatQuadsTake) {
  BlockRanges ranges;
  ranges.parts = TileParts::quads;
  ranges.quad[0] = {2, 10};
  ranges.quad[1] = {5, 5};
  ranges.quad[2] = {0, 3};
  const BlockPairs pairs = block_pairs(ranges, 10, true);
  EXPECT_EQ(pairs.scores, 4 * 8 + 2 * 3);
  EXPECT_EQ(pairs.values, pairs.scores);
  EXPECT_EQ(pairs.exps, pairs.scores + 10) << "every lane's sum is rescaled";
}

TEST(ReadsInQuads, IsForWindowsOfFewKeysThatAreOneBlock) {
  const WindowPattern few(20, 11, 0, 1000, {}), more(20, 12, 0, 1000, {});
  const WindowPattern causal(WindowPattern::kUnlimited, 0, 0, 20, {});
  const std::vector<KeyRun> one{{0, 100, 131, true}, {0, 131, 140, false}, {0, 140, 150, true}};
  EXPECT_TRUE(reads_in_quads(few, one));
  EXPECT_FALSE(reads_in_quads(more, one)) << "33 keys";
  EXPECT_FALSE(reads_in_quads(causal, {{0, 0, 20, true}})) << "not a window";
  EXPECT_FALSE(reads_in_quads(few, {}));
  EXPECT_FALSE(reads_in_quads(few, {{0, 100, 110, true}, {0, 111, 140, true}})) << "a gap";
  EXPECT_FALSE(reads_in_quads(few, {{0, 100, 110, true}, {1, 110, 140, true}}));
  EXPECT_FALSE(reads_in_quads(few, {{0, 0, 129, true}}));
}

TEST(OutputByRows, IsForFewKeysOfWhichSomeAreMasked) {
  const std::vector<KeyRun> few{{0, 0, 100, true}, {0, 100, 200, false}};
  EXPECT_TRUE(output_by_rows(few, 64, 64));
  EXPECT_FALSE(output_by_rows(few, 64, 72)) << "rows of 72 are no whole vectors";
  EXPECT_FALSE(output_by_rows(few, 8, 64));
  EXPECT_FALSE(output_by_rows({{0, 0, 200, false}}, 64, 64));
  EXPECT_FALSE(output_by_rows({{0, 0, 1000, true}}, 64, 64));
}

}  // namespace
}  // namespace attnbench::kernels
