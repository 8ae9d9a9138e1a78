// Patterns against the predicate they stand for: every allowed (lane, key) is visited exactly once,
// nothing else passes the mask, and unmasked runs are allowed throughout.
#include "kernels/key_pattern.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "kernels/split_keys.h"

namespace attnbench::kernels {
namespace {

using Allowed = std::function<bool(std::int64_t i, std::int64_t j)>;

void expect_covers(const KeyPattern& pattern, const TileQueries& tile, std::int64_t keys,
                   const Allowed& allowed) {
  std::vector<KeyRun> runs;
  pattern.runs(tile, runs);
  std::map<std::pair<int, std::int64_t>, int> seen;
  for (const KeyRun& run : runs) {
    ASSERT_LT(run.begin, run.end);
    std::vector<std::uint64_t> bits(static_cast<std::size_t>(run.end - run.begin), ~0ULL);
    if (run.masked) pattern.mask(tile, run.source, run.begin, run.end, bits.data());
    for (std::int64_t j = run.begin; j < run.end; ++j) {
      for (int lane = 0; lane < tile.lanes; ++lane) {
        const bool passes = (bits[static_cast<std::size_t>(j - run.begin)] >> lane & 1) != 0;
        EXPECT_EQ(passes, allowed(tile.position[lane], j)) << "lane " << lane << " key " << j;
        if (passes) ++seen[{lane, j}];
      }
    }
  }
  for (int lane = 0; lane < tile.lanes; ++lane) {
    for (std::int64_t j = 0; j < keys; ++j) {
      EXPECT_EQ((seen[{lane, j}]), allowed(tile.position[lane], j) ? 1 : 0);
    }
  }
}

TEST(WindowPattern, VisitsExactlyTheWindow) {
  for (std::int64_t left : {-1, 0, 3, 40}) {
    for (std::int64_t right : {-1, 0, 5}) {
      for (std::int64_t diagonal : {-9, 0, 30}) {
        const std::int64_t keys = 190;
        const WindowPattern pattern(left, right, diagonal, keys, {170});
        // One position after the other, and two lanes at each.
        for (const int heads : {1, 2}) {
          TileQueries tile;
          tile.lanes = 50;
          for (int lane = 0; lane < 50; ++lane) tile.position[lane] = 70 + lane / heads;
          expect_covers(pattern, tile, keys, [&](std::int64_t i, std::int64_t j) {
            const std::int64_t offset = j - (i + diagonal);
            return j < 170 && (left < 0 || offset >= -left) && (right < 0 || offset <= right);
          });
        }
      }
    }
  }
}

TEST(KeyShare, SharesTogetherVisitEveryKeyOnce) {
  const std::int64_t keys = 300;
  const WindowPattern base(100, 7, 200, keys, {});
  TileQueries tile;
  tile.lanes = 16;
  for (int lane = 0; lane < 16; ++lane) tile.position[lane] = lane / 4;
  for (std::int64_t parts : {1, 2, 3, 7}) {
    std::vector<int> visits(static_cast<std::size_t>(keys), 0);
    std::int64_t largest = 0, total = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      std::vector<KeyRun> runs;
      KeyShare(base, part, parts).runs(tile, runs);
      std::int64_t mine = 0;
      for (const KeyRun& run : runs) {
        mine += run.end - run.begin;
        for (std::int64_t j = run.begin; j < run.end; ++j) ++visits[static_cast<std::size_t>(j)];
      }
      largest = std::max(largest, mine);
      total += mine;
    }
    EXPECT_LE(largest, total / parts + 1);
    std::vector<KeyRun> all;
    base.runs(tile, all);
    for (const KeyRun& run : all) {
      for (std::int64_t j = run.begin; j < run.end; ++j) {
        EXPECT_EQ(visits[static_cast<std::size_t>(j)], 1) << j;
        visits[static_cast<std::size_t>(j)] = 0;
      }
    }
    for (int count : visits) EXPECT_EQ(count, 0);
  }
}

TEST(BlockCursor, SkipsWhatLiesInUnmaskedRunsAndCountsAll) {
  const std::vector<std::vector<KeyRun>> lists = {
      {},
      {{0, 0, 1, false}},
      {{0, 5, 1000, false}},
      {{0, 3, 70, true}, {0, 70, 517, false}, {0, 517, 530, true}},
      {{0, 0, 64, false}, {0, 64, 128, true}, {1, 7, 300, false}, {1, 300, 301, true}},
      {{0, 0, 10, false}, {0, 20, 400, false}, {0, 400, 700, false}, {0, 800, 801, true}},
  };
  for (const auto& runs : lists) {
    const std::vector<KeyBlock> all = all_blocks(runs);
    const BlockCount counted = BlockCursor::count(runs);
    std::int64_t keys = 0, seen = 0, skipped = 0, masked = 0;
    for (const KeyBlock& block : all) {
      keys += block.end - block.begin;
      masked += block.masked ? 1 : 0;
    }
    EXPECT_EQ(counted.blocks, static_cast<std::int64_t>(all.size()));
    EXPECT_EQ(counted.keys, keys);
    BlockCursor cursor(runs);
    for (KeyBlock block;;) {
      const BlockCount some = cursor.skip_unmasked();
      // What is skipped are the blocks that would have come.
      std::int64_t those = 0;
      for (std::int64_t i = seen; i < seen + some.blocks; ++i) {
        EXPECT_FALSE(all[static_cast<std::size_t>(i)].masked);
        those += all[static_cast<std::size_t>(i)].end - all[static_cast<std::size_t>(i)].begin;
      }
      EXPECT_EQ(some.keys, those);
      seen += some.blocks;
      skipped += some.blocks;
      if (!cursor.next(block)) break;
      EXPECT_EQ(block.begin, all[static_cast<std::size_t>(seen)].begin);
      EXPECT_EQ(block.masked, all[static_cast<std::size_t>(seen)].masked);
      masked -= block.masked ? 1 : 0;
      ++seen;
    }
    EXPECT_EQ(seen, counted.blocks);
    EXPECT_EQ(masked, 0);
    if (counted.blocks > 10) {
      EXPECT_GT(skipped, counted.blocks / 2);
    }
  }
}

TEST(LaneRange, SetsBitsFromTo) {
  EXPECT_EQ(lane_range(0, 64), ~std::uint64_t{0});
  EXPECT_EQ(lane_range(3, 3), 0U);
  EXPECT_EQ(lane_range(1, 3), 0b110U);
  EXPECT_EQ(lane_range(63, 64), std::uint64_t{1} << 63);
}

}  // namespace
}  // namespace attnbench::kernels
