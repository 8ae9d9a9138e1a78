// Calls that caches do not keep ask for rows ahead of time; each of their heads alone is small and
// asks for nothing. Neither may change a result.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/arena.h"
#include "kernels/feature_attention.h"
#include "kernels/materialised_softmax.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kFeatures = 70;

/// Tensors of all heads, and what one head's are.
class RowsAhead : public ::testing::TestWithParam<bool> {
 protected:
  RowsAhead() {
    problem_.batch = 1;
    problem_.heads_q = problem_.heads_kv = kHeads;
    problem_.seq_q = 700;
    problem_.seq_k = 690;
    problem_.dim_qk = 96;
    problem_.dim_v = 80;
    problem_.causal = GetParam();
    one_ = problem_;
    one_.heads_q = one_.heads_kv = 1;
    q_ = tensor(problem_.seq_q, problem_.dim_qk, 1.0F);
    k_ = tensor(problem_.seq_k, problem_.dim_qk, 0.7F);
    v_ = tensor(problem_.seq_k, problem_.dim_v, 0.3F);
    together_ = tensor(problem_.seq_q, problem_.dim_v, 0);
    alone_ = tensor(problem_.seq_q, problem_.dim_v, 0);
  }

  static Tensor tensor(std::int64_t rows, std::int64_t dim, float step) {
    Tensor t({1, kHeads, rows, dim}, Layout::bhnd);
    for (std::size_t i = 0; i < t.buffer().size(); ++i) {
      t.buffer().data()[i] = step == 0 ? NAN : std::sin(step * static_cast<float>(i % 7919) + 0.5F);
    }
    return t;
  }

  template <class View>
  static View head(View all, std::int64_t h) {
    return {all.row(0, h, 0), {1, 1, all.shape[2], all.shape[3]}, all.stride};
  }

  /// Runs call(problem, inputs, output) for all heads and then for each.
  template <class Call>
  void run(const Call& call) {
    ASSERT_GT(kHeads * head_bytes(one_), kNearBytesOfAllKeys);
    ASSERT_LT(head_bytes(one_) + one_.seq_k * kTileQueries * std::int64_t{sizeof(float)},
              kNearBytesOfAllKeys);
    const Inputs inputs{q_.view(), k_.view(), v_.view()};
    call(problem_, inputs, together_.view());
    for (std::int64_t h = 0; h < kHeads; ++h) {
      call(one_, {head(inputs.q, h), head(inputs.k, h), head(inputs.v, h)}, head(alone_.view(), h));
    }
    for (std::size_t i = 0; i < alone_.buffer().size(); ++i) {
      ASSERT_EQ(together_.buffer().data()[i], alone_.buffer().data()[i]) << "at " << i;
    }
  }

  Problem problem_, one_;
  Tensor q_, k_, v_, together_, alone_;
};

TEST_P(RowsAhead, MaterialisedSoftmax) {
  run([](const Problem& p, const Inputs& inputs, TensorView output) {
    Workspace workspace(materialised_softmax_workspace_bytes(p, 1));
    ThreadArena arena(1);
    materialised_softmax(p, 0.1, LogitTerms(p), inputs, output, workspace, arena);
  });
}

TEST_P(RowsAhead, FeatureAttention) {
  std::vector<float> omega(static_cast<std::size_t>(kFeatures * problem_.dim_qk));
  for (std::size_t i = 0; i < omega.size(); ++i) omega[i] = std::sin(0.9F * static_cast<float>(i));
  for (const FeatureMap map : {FeatureMap::exponential, FeatureMap::rectified}) {
    run([&](const Problem& p, const Inputs& inputs, TensorView output) {
      const FeatureCall call{p, map, omega.data(), kFeatures};
      Workspace workspace(feature_attention_work(call, 1).workspace_bytes);
      ThreadArena arena(1);
      feature_attention(call, inputs, output, workspace, arena);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Masks, RowsAhead, ::testing::Bool(),
                         [](const auto& causal) { return causal.param ? "causal" : "full"; });

}  // namespace
}  // namespace attnbench::kernels
