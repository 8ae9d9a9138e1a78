#include "kernels/tile_strip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace attnbench::kernels {
namespace {

/// One head under a causal mask whose diagonal is the problem's.
class TileStripTest : public ::testing::Test {
 protected:
  void make(std::int64_t seq_q, std::int64_t seq_k, std::int64_t dim, std::int64_t group = 1) {
    problem_ = {};
    problem_.batch = problem_.heads_kv = 1;
    problem_.heads_q = group;
    problem_.seq_q = seq_q;
    problem_.seq_k = seq_k;
    problem_.dim_qk = problem_.dim_v = dim;
    problem_.causal = true;
    q_ = numbers(seq_q * group * dim, 1.0F);
    k_ = numbers(seq_k * dim, 0.7F);
    v_ = numbers(seq_k * dim, 0.3F);
    out_.assign(q_.size(), 0.0F);
  }
  static std::vector<float> numbers(std::int64_t count, float step) {
    std::vector<float> all(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i] = std::sin(step * static_cast<float>(i % 7919) + 0.5F);
    }
    return all;
  }

  void fill(std::int64_t tile, const KeyPattern& pattern, TileJob& job, SourceRows* sources) {
    tile_lanes(problem_, tile, 0, 0, job.queries);
    for (int lane = 0; lane < job.queries.lanes; ++lane) {
      const std::int64_t row = job.queries.head[lane] * problem_.seq_q + job.queries.query[lane];
      job.q_rows[lane] = q_.data() + row * problem_.dim_qk;
      job.out_rows[lane] = out_.data() + row * problem_.dim_v;
    }
    sources[0] = {k_.data(), problem_.dim_qk, v_.data(), problem_.dim_v};
    job.sources = {sources, 1};
    job.pattern = &pattern;
    job.dim_qk = problem_.dim_qk;
    job.dim_v = problem_.dim_v;
    job.scale = 0.3;
  }

  /// Output rows when tiles go one by one (`tiles` = 1), or that many together.
  std::vector<float> outputs(int tiles) {
    const WindowPattern pattern(WindowPattern::kUnlimited, 0, problem_.diagonal(), problem_.seq_k,
                                {});
    std::fill(out_.begin(), out_.end(), NAN);
    FloatBuffer scratch(strip_scratch_floats(problem_, tiles));
    const std::int64_t count = tile_count(problem_);
    const std::int64_t strips = (count + tiles - 1) / tiles;
    StripSequence sequence(scratch.data());
    const auto fill_strip = [&](std::int64_t index, TileStrip& strip) {
      strip.count = static_cast<int>(std::min<std::int64_t>(tiles, count - index * tiles));
      for (int i = 0; i < strip.count; ++i) {
        fill(count - 1 - index * tiles - i, pattern, strip.jobs[i], strip.sources);
      }
    };
    if (tiles > 1) {
      for (std::int64_t s = 0; s < strips; ++s) {
        sequence.run(s, s + 1 < strips ? s + 1 : StripSequence::kNone, fill_strip);
      }
      return out_;
    }
    for (std::int64_t tile = 0; tile < count; ++tile) {
      TileJob job;
      SourceRows sources[kMaxSources];
      std::vector<KeyRun> runs;
      fill(tile, pattern, job, sources);
      job.runs = &runs;
      job.scratch = scratch.data();
      run_tile(job);
    }
    return out_;
  }

  Problem problem_;
  std::vector<float> q_, k_, v_, out_;
};

TEST_F(TileStripTest, ComputesWhatSingleTilesComputeToTheBit) {
  struct Shape {
    std::int64_t seq_q, seq_k, dim, group;
  };
  // Several stripes; last tiles of some and of few lanes; more keys than queries and fewer, so that
  // rows without any key are among them; grouped heads.
  const std::vector<Shape> shapes{{1024, 1024, 32, 1}, {700, 700, 64, 1}, {515, 515, 48, 1},
                                  {130, 900, 64, 1},   {500, 300, 64, 1}, {200, 1500, 96, 3},
                                  {257, 257, 256, 1},  {66, 66, 128, 1}};
  for (const auto& [seq_q, seq_k, dim, group] : shapes) {
    make(seq_q, seq_k, dim, group);
    const std::vector<float> single = outputs(1);
    for (const float x : single) ASSERT_TRUE(std::isfinite(x));
    for (int tiles = 2; tiles <= kMostStripTiles; ++tiles) {
      EXPECT_EQ(outputs(tiles), single)
          << seq_q << " x " << seq_k << ", dim " << dim << ", " << tiles << " tiles";
    }
  }
}

TEST_F(TileStripTest, AsksForTheKeysThatAnyTileReadsAndNoOthers) {
  constexpr std::int64_t kDim = 32;  // Two lines of 64 bytes a row.
  make(64, 2048, kDim);
  std::vector<KeyRun> runs[2] = {{{0, 10, 20, false}, {0, 300, 310, true}},
                                 {{0, 15, 40, false}, {1, 50, 60, false}}};
  const SourceRows source{k_.data(), kDim, v_.data(), kDim};
  TileJob jobs[2];
  for (int i = 0; i < 2; ++i) {
    jobs[i].sources = {&source, 1};
    jobs[i].dim_qk = jobs[i].dim_v = kDim;
    jobs[i].runs = &runs[i];
  }
  const auto lines = [&](std::int64_t begin, std::int64_t end) {
    Upcoming upcoming;
    add_keys_of_any(jobs, 0, begin, end, upcoming);
    return upcoming.lines() / 4;  // Rows of keys with their values.
  };
  EXPECT_EQ(lines(0, 2048), 30 + 10);
  EXPECT_EQ(lines(0, 10), 0);
  EXPECT_EQ(lines(12, 17), 5);
  EXPECT_EQ(lines(30, 305), 10 + 5);
  EXPECT_EQ(lines(40, 300), 0);
}

TEST_F(TileStripTest, OnlyHeadsThatNoCacheKeepsAreComputedInStrips) {
  const WindowPattern all(WindowPattern::kUnlimited, WindowPattern::kUnlimited, 0, 1 << 20, {});
  const WindowPattern window(100, 100, 0, 1 << 20, {});
  make(2048, 2048, 64);
  EXPECT_EQ(strip_tiles(problem_, all, 1), 4);
  EXPECT_EQ(strip_tiles(problem_, all, 2), 4);
  EXPECT_EQ(strip_tiles(problem_, all, 4), 2) << "32 tiles in at least 16 strips";
  EXPECT_EQ(strip_tiles(problem_, all, 16), 1);
  EXPECT_EQ(strip_tiles(problem_, window, 1), 1);
  make(2047, 2047, 64);
  EXPECT_EQ(strip_tiles(problem_, all, 1), 1);
  EXPECT_EQ(most_strip_tiles(problem_, all), 4) << "workspace does not depend on the length";
  make(4096, 4096, 256);
  EXPECT_EQ(strip_tiles(problem_, all, 1), 2);
  make(4096, 4096, 1024);
  EXPECT_EQ(strip_tiles(problem_, all, 1), 1);
  make(64, 65536, 64);
  EXPECT_EQ(most_strip_tiles(problem_, all), 1) << "a head is one tile";
}

}  // namespace
}  // namespace attnbench::kernels
