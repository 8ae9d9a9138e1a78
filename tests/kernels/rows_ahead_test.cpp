// Calls that caches do not keep ask for rows ahead of time; each of their heads alone is small and
// asks for nothing. Neither may change a result.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "kernels/arena.h"
#include "kernels/feature_attention.h"
#include "kernels/materialised_softmax.h"
#include "kernels/tile_sequence.h"
#include "kernels/upcoming.h"
#include "waves.h"

namespace attnbench::kernels {
namespace {

/// Notes rows that are asked for while it lives. One at a time.
class ScopedRowLog {
 public:
  ScopedRowLog() { row_log().store(&log_); }
  ~ScopedRowLog() { row_log().store(nullptr); }
  ScopedRowLog(const ScopedRowLog&) = delete;
  ScopedRowLog& operator=(const ScopedRowLog&) = delete;

  /// How often each row of a tensor of one batch row was asked for, [head][row]; whole rows alone,
  /// which are taken off the log.
  std::vector<std::vector<int>> times(const TensorView& tensor) {
    std::vector<std::vector<int>> times;
    std::map<const float*, int*> place;
    times.resize(static_cast<std::size_t>(tensor.shape[1]),
                 std::vector<int>(static_cast<std::size_t>(tensor.shape[2])));
    for (std::int64_t h = 0; h < tensor.shape[1]; ++h) {
      for (std::int64_t i = 0; i < tensor.shape[2]; ++i) {
        place[tensor.row(0, h, i)] =
            &times[static_cast<std::size_t>(h)][static_cast<std::size_t>(i)];
      }
    }
    std::erase_if(log_.rows, [&](const RowLog::Rows& rows) {
      if (rows.floats != tensor.shape[3] || !place.contains(rows.first)) return false;
      for (std::int64_t i = 0; i < rows.count; ++i) {
        const auto at = place.find(rows.first + i * rows.stride);
        if (at == place.end()) return false;
        ++*at->second;
      }
      return true;
    });
    return times;
  }
  /// Of nothing that was asked for about.
  std::size_t others() const { return log_.rows.size(); }

 private:
  RowLog log_;
};

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
    q_ = waves(kHeads, problem_.seq_q, problem_.dim_qk, 1.0F);
    k_ = waves(kHeads, problem_.seq_k, problem_.dim_qk, 0.7F);
    v_ = waves(kHeads, problem_.seq_k, problem_.dim_v, 0.3F);
    together_ = waves(kHeads, problem_.seq_q, problem_.dim_v, NAN);
    alone_ = waves(kHeads, problem_.seq_q, problem_.dim_v, NAN);
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
  const std::vector<float> omega = wave_projection(kFeatures, problem_.dim_qk);
  for (const FeatureMap map : {FeatureMap::exponential, FeatureMap::rectified}) {
    run([&](const Problem& p, const Inputs& inputs, TensorView output) {
      const FeatureCall call{p, map, omega.data(), kFeatures};
      Workspace workspace(feature_attention_work(call, 1).workspace_bytes);
      ThreadArena arena(1);
      feature_attention(call, inputs, output, workspace, arena);
    });
  }
}

/// Every row once, but for those that a head begins with: its first chunk of keys, and under the
/// causal mask its first queries, which nothing comes before.
TEST_P(RowsAhead, FeatureAttentionAsksForEveryRowOnce) {
  const std::vector<float> omega = wave_projection(kFeatures, problem_.dim_qk);
  const FeatureCall call{problem_, FeatureMap::exponential, omega.data(), kFeatures};
  Workspace workspace(feature_attention_work(call, 1).workspace_bytes);
  ThreadArena arena(1);
  ScopedRowLog log;
  feature_attention(call, {q_.view(), k_.view(), v_.view()}, together_.view(), workspace, arena);
  const bool causal = GetParam();
  // Under the causal mask a chunk of queries brings as many keys, ten fewer in the first.
  const std::int64_t first_keys =
      causal ? kFeatureChunk - (problem_.seq_q - problem_.seq_k) : kFeatureChunk;
  const auto expected = [](std::int64_t rows, std::int64_t unasked) {
    std::vector<int> head(static_cast<std::size_t>(rows), 1);
    std::fill_n(head.begin(), unasked, 0);
    return std::vector(kHeads, head);
  };
  const std::int64_t first_queries = causal ? kFeatureChunk : 0;
  EXPECT_EQ(log.times(k_.view()), expected(problem_.seq_k, first_keys));
  EXPECT_EQ(log.times(v_.view()), expected(problem_.seq_k, first_keys));
  EXPECT_EQ(log.times(q_.view()), expected(problem_.seq_q, first_queries));
  EXPECT_EQ(log.times(together_.view()), expected(problem_.seq_q, first_queries));
  EXPECT_EQ(log.others(), 0);
}

INSTANTIATE_TEST_SUITE_P(Masks, RowsAhead, ::testing::Bool(),
                         [](const auto& causal) { return causal.param ? "causal" : "full"; });

}  // namespace
}  // namespace attnbench::kernels
