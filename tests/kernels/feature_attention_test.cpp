// Feature attention under the causal mask, whose heads are cut into segments where threads do not
// share them evenly: however they are cut, the result is one thread's.
#include "kernels/feature_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

#include "kernels/arena.h"
#include "kernels/op_count.h"
#include "waves.h"

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kFeatures = 40;

/// Heads of keys, query heads of each, queries, and keys before the first of them.
class CausalCuts : public ::testing::TestWithParam<std::tuple<int, int, int, int>> {};

TEST_P(CausalCuts, GiveOneThreadsResult) {
  const auto [heads, group, queries, before] = GetParam();
  Problem p;
  p.heads_kv = heads;
  p.heads_q = std::int64_t{heads} * group;
  p.seq_q = queries;
  p.seq_k = queries + before;
  p.dim_qk = 20;
  p.dim_v = 24;
  p.causal = true;
  const Tensor q = waves(p.heads_q, p.seq_q, p.dim_qk, 1.0F);
  const Tensor k = waves(p.heads_kv, p.seq_k, p.dim_qk, 0.7F);
  const Tensor v = waves(p.heads_kv, p.seq_k, p.dim_v, 0.3F);
  const std::vector<float> omega = wave_projection(kFeatures, p.dim_qk);
  const FeatureCall call{p, FeatureMap::exponential, omega.data(), kFeatures};
  Tensor one = waves(p.heads_q, p.seq_q, p.dim_v, NAN);
  for (int threads = 1; threads <= 7; ++threads) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    const FeatureWork work = feature_attention_work(call, threads);
    Workspace workspace(work.workspace_bytes);
    ThreadArena arena(threads);
    Tensor many = waves(p.heads_q, p.seq_q, p.dim_v, NAN);
    Tensor& output = threads == 1 ? one : many;
    const ScopedOpCount count;
    feature_attention(call, {q.view(), k.view(), v.view()}, output.view(), workspace, arena);
    EXPECT_DOUBLE_EQ(count.flops(), work.flops);
    EXPECT_DOUBLE_EQ(count.exps(), work.exps);
    EXPECT_EQ(workspace.peak_bytes(), work.workspace_bytes);
    for (std::size_t i = 0; i < output.buffer().size(); ++i) {
      ASSERT_NEAR(output.buffer().data()[i], one.buffer().data()[i], 2e-6) << "at " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, CausalCuts,
                         ::testing::Combine(::testing::Values(1, 2, 3, 5, 7),
                                            ::testing::Values(1, 2),
                                            ::testing::Values(1, 64, 70, 130, 600),
                                            ::testing::Values(0, 90)));

}  // namespace
}  // namespace attnbench::kernels
