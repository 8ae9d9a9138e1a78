#include "kernels/tile_sequence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kDim = 32;  // Two lines of 64 bytes a row.
constexpr std::int64_t kRowLines = 2;

/// Rows of one head whose tiles read a causal window.
class TileSequenceTest : public ::testing::Test {
 protected:
  TileSequenceTest() : pattern_(kLeft, 0, 0, kSeq, {}) {
    problem_.batch = problem_.heads_q = problem_.heads_kv = 1;
    problem_.seq_q = problem_.seq_k = kSeq;
    problem_.dim_qk = problem_.dim_v = kDim;
    for (std::vector<float>* rows : {&q_, &k_, &v_}) {
      rows->resize(kSeq * kDim);
      for (std::size_t i = 0; i < rows->size(); ++i) {
        (*rows)[i] = std::sin(static_cast<float>(i * (1 + rows->size() % 7)) + 0.5F);
      }
    }
    out_.resize(kSeq * kDim);
    scratch_.resize(tile_scratch_floats(kDim, kDim) + 16);
  }

  float* scratch() {
    void* at = scratch_.data();
    std::size_t space = scratch_.size() * sizeof(float);
    return static_cast<float*>(
        std::align(64, tile_scratch_floats(kDim, kDim) * sizeof(float), at, space));
  }

  void fill(std::int64_t tile, TileJob& job, SourceRows* sources) {
    ++fills_;
    tile_lanes(problem_, tile, 0, 0, job.queries);
    for (int lane = 0; lane < job.queries.lanes; ++lane) {
      job.q_rows[lane] = q_.data() + job.queries.query[lane] * kDim;
      job.out_rows[lane] = out_.data() + job.queries.query[lane] * kDim;
    }
    sources[0] = {k_.data(), kDim, v_.data(), kDim};
    job.sources = {sources, 1};
    job.pattern = &pattern_;
    job.dim_qk = job.dim_v = kDim;
    job.scale = 0.5;
  }

  /// The outputs after tiles 0, 1, ... with what `predict` says follows each.
  template <class Predict>
  std::vector<float> outputs(Predict predict) {
    std::fill(out_.begin(), out_.end(), 0.0F);
    TileSequence tiles(scratch());
    const auto filled = [&](std::int64_t tile, TileJob& job, SourceRows* sources) {
      fill(tile, job, sources);
    };
    for (std::int64_t tile = 0; tile < kTiles; ++tile) tiles.run(tile, predict(tile), filled);
    return out_;
  }

  static constexpr std::int64_t kSeq = 300, kLeft = 100;
  static constexpr std::int64_t kTiles = (kSeq + kTileQueries - 1) / kTileQueries;
  Problem problem_;
  WindowPattern pattern_;
  std::vector<float> q_, k_, v_, out_, scratch_;
  int fills_ = 0;
};

TEST_F(TileSequenceTest, WhatIsPredictedDoesNotChangeWhatIsComputed) {
  const std::vector<float> alone = outputs([](std::int64_t) { return TileSequence::kNone; });
  EXPECT_EQ(fills_, kTiles);
  EXPECT_NE(std::accumulate(alone.begin(), alone.end(), 0.0F), 0.0F);
  fills_ = 0;
  EXPECT_EQ(
      outputs([](std::int64_t tile) { return tile + 1 < kTiles ? tile + 1 : TileSequence::kNone; }),
      alone);
  EXPECT_EQ(fills_, kTiles) << "a tile that was predicted is not filled in again";
  EXPECT_EQ(outputs([](std::int64_t tile) { return (tile + 3) % kTiles; }), alone);
}

TEST_F(TileSequenceTest, OnlyRowsThatTheTileBeforeDoesNotReadAreUpcoming) {
  std::vector<KeyRun> runs[2];
  SourceRows sources[2][kMaxSources];
  TileJob now, next;
  now.runs = &runs[0];
  next.runs = &runs[1];
  fill(2, now, sources[0]);
  fill(3, next, sources[1]);
  list_runs(now);
  list_runs(next);
  Upcoming upcoming;
  add_new_rows(now, next, upcoming);
  // Queries and outputs of 64 lanes, keys and values of the 64 positions that are new.
  EXPECT_EQ(upcoming.lines(), 4 * 64 * kRowLines);
  // The other way round as many keys are new, at the other end of the window.
  upcoming.clear();
  add_new_rows(next, now, upcoming);
  EXPECT_EQ(upcoming.lines(), 4 * 64 * kRowLines);
  // Of other memory everything is new: keys 92 to 255 of tile 3.
  const std::vector<float> copy = k_;
  sources[0][0].k = copy.data();
  upcoming.clear();
  add_new_rows(now, next, upcoming);
  EXPECT_EQ(upcoming.lines(), (2 * 64 + 2 * (256 - 92)) * kRowLines);
}

TEST_F(TileSequenceTest, NoMoreIsUpcomingThanACacheKeeps) {
  std::vector<KeyRun> runs[2];
  SourceRows sources[kMaxSources];
  TileJob now, next;
  now.runs = &runs[0];
  next.runs = &runs[1];
  fill(0, now, sources);
  fill(1, next, sources);
  runs[1].push_back({0, 0, 1 << 20, false});
  Upcoming upcoming;
  add_new_rows(now, next, upcoming);
  EXPECT_LE(upcoming.lines(), 2048 + 64 * kRowLines);
  EXPECT_GE(upcoming.lines(), 2000);
}

}  // namespace
}  // namespace attnbench::kernels
