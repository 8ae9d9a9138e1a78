#include "kernels/materialised_softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/upcoming.h"

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kDim = 64;
/// Lines of 64 rows of keys or values, and of 64 keys in a panel.
constexpr std::int64_t kBlock = kKeyBlock;
constexpr std::int64_t kLineFloats = LinesAhead::kLineBytes / sizeof(float);
constexpr std::int64_t kBlockLines = kBlock * kDim / kLineFloats;
constexpr std::int64_t kPanelLines = kBlock * kTileQueries / kLineFloats;

/// One panel of 64 queries.
class PanelTest : public ::testing::Test {
 protected:
  void make(std::int64_t keys) {
    pattern_.emplace(WindowPattern::kUnlimited, WindowPattern::kUnlimited, 0, keys,
                     std::vector<std::int64_t>{});
    q_ = numbers(kTileQueries * kDim, 1.0F);
    k_ = numbers(keys * kDim, 0.7F);
    v_ = numbers(keys * kDim, 0.3F);
    out_.assign(static_cast<std::size_t>(kTileQueries * kDim), NAN);
    matrix_ = FloatBuffer(static_cast<std::size_t>(kTileQueries * keys));
    scratch_ = FloatBuffer(tile_state_floats(kDim, kDim));
    source_ = {k_.data(), kDim, v_.data(), kDim};
    job_ = TileJob{};
    Problem p;
    p.batch = p.heads_q = p.heads_kv = 1;
    p.seq_q = kTileQueries;
    p.seq_k = keys;
    p.dim_qk = p.dim_v = kDim;
    tile_lanes(p, 0, 0, 0, job_.queries);
    for (int lane = 0; lane < job_.queries.lanes; ++lane) {
      job_.q_rows[lane] = q_.data() + lane * kDim;
      job_.out_rows[lane] = out_.data() + lane * kDim;
    }
    job_.sources = {&source_, 1};
    job_.pattern = &*pattern_;
    job_.dim_qk = job_.dim_v = kDim;
    job_.scale = 0.125;
    job_.matrix = matrix_.data();
    job_.matrix_keys = keys;
    job_.scratch = scratch_.data();
    job_.runs = &runs_;
  }
  static std::vector<float> numbers(std::int64_t count, float step) {
    std::vector<float> all(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i] = std::sin(step * static_cast<float>(i % 7919) + 0.5F);
    }
    return all;
  }

  std::optional<WindowPattern> pattern_;
  std::vector<float> q_, k_, v_, out_;
  FloatBuffer matrix_, scratch_;
  SourceRows source_{};
  std::vector<KeyRun> runs_;
  TileJob job_;
};

/// Asking ends with the first block, which the second pass comes to last.
TEST_F(PanelTest, ProductsAskForAllOfTheNextBlock) {
  make(2 * kBlock);
  Upcoming upcoming;
  job_.upcoming = &upcoming;
  run_panel(job_);
  EXPECT_EQ(upcoming.lines(), kBlockLines + kPanelLines);
  EXPECT_EQ(upcoming.take_part(1).count, 0) << "something of it was not asked for";
}

/// The scores of a lone block, which are near, are followed by its values.
TEST_F(PanelTest, ScoresOfTheLastBlockAskForItsValues) {
  make(kKeyBlock);
  Upcoming upcoming;
  job_.upcoming = &upcoming;
  run_panel(job_);
  EXPECT_EQ(upcoming.lines(), kBlockLines);
  EXPECT_EQ(upcoming.take_part(1).count, 0) << "something of it was not asked for";
}

TEST_F(PanelTest, ResultsDoNotDependOnIt) {
  make(200);
  run_panel(job_);
  const std::vector<float> without = out_;
  for (const float x : without) ASSERT_TRUE(std::isfinite(x));
  make(200);
  Upcoming upcoming;
  job_.upcoming = &upcoming;
  run_panel(job_);
  EXPECT_EQ(out_, without);
}

}  // namespace
}  // namespace attnbench::kernels
