#include "kernels/materialised_softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core_kind.h"
#include "kernels/tile_strip.h"

namespace attnbench::kernels {
namespace {

std::vector<float> numbers(std::int64_t count, float step) {
  std::vector<float> all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = std::sin(step * static_cast<float>(i % 7919) + 0.5F);
  }
  return all;
}

struct Shape {
  std::int64_t seq_q, seq_k, dim;
  bool causal;
};

/// Output of one head, and its matrix after it, whose panels go `together`.
struct Result {
  std::vector<float> out, matrix;
};
Result result_of(const Shape& shape, std::int64_t together) {
  Problem p;
  p.batch = p.heads_q = p.heads_kv = 1;
  p.seq_q = shape.seq_q;
  p.seq_k = shape.seq_k;
  p.dim_qk = p.dim_v = shape.dim;
  p.causal = shape.causal;
  const std::vector<float> q = numbers(p.seq_q * p.dim_qk, 1.0F);
  const std::vector<float> k = numbers(p.seq_k * p.dim_qk, 0.7F);
  const std::vector<float> v = numbers(p.seq_k * p.dim_v, 0.3F);
  const WindowPattern pattern(WindowPattern::kUnlimited, p.causal ? 0 : WindowPattern::kUnlimited,
                              p.diagonal(), p.seq_k, {});
  const SourceRows source{k.data(), p.dim_qk, v.data(), p.dim_v};
  Result result;
  result.out.assign(static_cast<std::size_t>(p.seq_q * p.dim_v), NAN);
  const std::int64_t count = tile_count(p);
  const std::size_t state = tile_state_floats(p.dim_qk, p.dim_v);
  FloatBuffer scratch(state * kMostStripTiles);
  FloatBuffer matrix(static_cast<std::size_t>(count * kTileQueries * (p.seq_k + 64)));
  std::fill_n(matrix.data(), matrix.size(), 0.0F);
  for (std::int64_t first = 0; first < count; first += together) {
    TileStrip strip;
    strip.count = static_cast<int>(std::min(together, count - first));
    strip.sources[0] = source;
    for (int i = 0; i < strip.count; ++i) {
      TileJob& job = strip.jobs[i];
      tile_lanes(p, first + i, 0, 0, job.queries);
      for (int lane = 0; lane < job.queries.lanes; ++lane) {
        job.q_rows[lane] = q.data() + job.queries.query[lane] * p.dim_qk;
        job.out_rows[lane] = result.out.data() + job.queries.query[lane] * p.dim_v;
      }
      job.sources = {strip.sources, 1};
      job.pattern = &pattern;
      job.dim_qk = p.dim_qk;
      job.dim_v = p.dim_v;
      job.scale = 0.125;
      job.matrix = matrix.data() + (first + i) * kTileQueries * p.seq_k;
      job.matrix_keys = p.seq_k;
      job.scratch = scratch.data() + static_cast<std::size_t>(i) * state;
      job.runs = &strip.runs[i];
    }
    run_panels(strip.all());
  }
  result.matrix.assign(matrix.data(), matrix.data() + matrix.size());
  return result;
}

TEST(MaterialisedPanels, ComputeTogetherWhatTheyComputeAloneToTheBit) {
  // Last panels of some and of few lanes; more keys than queries and fewer, so that rows without
  // any key are among them; blocks of 64 keys and of a part of them.
  const std::vector<Shape> shapes{{512, 512, 64, true}, {512, 512, 64, false},
                                  {300, 500, 48, true}, {200, 900, 64, false},
                                  {260, 200, 96, true}, {66, 70, 128, false}};
  for (const Shape& shape : shapes) {
    const Result alone = result_of(shape, 1);
    for (const float x : alone.out) ASSERT_TRUE(std::isfinite(x));
    for (std::int64_t together = 2; together <= kMostStripTiles; ++together) {
      const Result result = result_of(shape, together);
      EXPECT_EQ(result.out, alone.out) << shape.seq_q << " x " << shape.seq_k << ", " << together;
      EXPECT_EQ(result.matrix, alone.matrix)
          << shape.seq_q << " x " << shape.seq_k << ", " << together;
    }
  }
}

/// Bytes of the workspace beside the matrix of a call on one thread.
std::int64_t state_bytes(std::int64_t keys, std::int64_t dim) {
  Problem p;
  p.batch = p.heads_q = p.heads_kv = 1;
  p.seq_q = std::int64_t{64} * kTileQueries;
  p.seq_k = keys;
  p.dim_qk = p.dim_v = dim;
  return static_cast<std::int64_t>(materialised_softmax_workspace_bytes(p, 1)) -
         p.seq_q * p.seq_k * std::int64_t{sizeof(float)};
}

TEST(MaterialisedPanels, GoTogetherWhereKeysAndTheScoresOfOneAreFar) {
  const std::int64_t one = static_cast<std::int64_t>(tile_state_floats(64, 64) * sizeof(float));
  // Scores of three times the core's own cache, and keys and values of 8 MiB.
  const std::int64_t far_scores = 3 * core_cache_bytes() / (std::int64_t{kTileQueries} * 4);
  const std::int64_t far_keys = (std::int64_t{8} << 20) / (std::int64_t{2} * 64 * 4);
  const std::int64_t far = std::max(far_scores, far_keys);
  EXPECT_EQ(state_bytes(far, 64), kMostStripTiles * one);
  EXPECT_EQ(state_bytes(far - kKeyBlock, 64), one);
  EXPECT_EQ(state_bytes(std::min(far_scores, far_keys), 64),
            far_scores == far_keys ? 4 * one : one);
}

}  // namespace
}  // namespace attnbench::kernels
