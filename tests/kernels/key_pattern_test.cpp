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
        const std::int64_t keys = 90;
        const WindowPattern pattern(left, right, diagonal, keys, {70});
        TileQueries tile;
        tile.lanes = 50;
        for (int lane = 0; lane < 50; ++lane) tile.position[lane] = 10 + lane / 2;
        expect_covers(pattern, tile, keys, [&](std::int64_t i, std::int64_t j) {
          const std::int64_t offset = j - (i + diagonal);
          return j < 70 && (left < 0 || offset >= -left) && (right < 0 || offset <= right);
        });
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

TEST(LaneRange, SetsBitsFromTo) {
  EXPECT_EQ(lane_range(0, 64), ~std::uint64_t{0});
  EXPECT_EQ(lane_range(3, 3), 0U);
  EXPECT_EQ(lane_range(1, 3), 0b110U);
  EXPECT_EQ(lane_range(63, 64), std::uint64_t{1} << 63);
}

}  // namespace
}  // namespace attnbench::kernels
