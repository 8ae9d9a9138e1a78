// linformer's projections: blocks of keys and of the rank, rows that are no whole vectors.
#include "kernels/compressed_keys.h"

#include <gtest/gtest.h>

#include <cmath>

#include "conformance.h"
#include "kernels/isa.h"

namespace attnbench::testing {
namespace {

class CompressedKeys : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!kernels::select_isa(GetParam())) GTEST_SKIP() << "not on this machine";
  }
  void TearDown() override { ASSERT_TRUE(kernels::select_isa("auto")); }
};

/// A projection whose every entry differs: [heads, rank, keys].
AuxTensor drawn(std::int64_t heads, std::int64_t rank, std::int64_t keys, float phase) {
  AuxTensor e;
  e.shape = {heads, rank, keys};
  for (std::int64_t i = 0; i < heads * rank * keys; ++i) {
    e.values.push_back(std::sin(phase + 0.7F * static_cast<float>(i)) / 16);
  }
  return e;
}

TEST_P(CompressedKeys, BlocksOfKeysAndOfTheRank) {
  const Variant& variant = *Registry::instance().find("linformer");
  for (const std::int64_t keys : {127, 128, 129, 300}) {
    for (const std::int64_t rank : {5, 64, 130}) {
      for (const auto& [dim, dim_v] : {std::pair{64, 128}, {72, 64}, {32, 9}}) {
        Problem p;
        p.batch = 2;
        p.heads_q = 4;
        p.heads_kv = 2;
        p.seq_q = 20;
        p.seq_k = keys;
        p.dim_qk = dim;
        p.dim_v = dim_v;
        p.mode = Mode::cross;
        p.key_lengths = {keys, keys - 100};
        SCOPED_TRACE(problem_name(p) + " rank " + std::to_string(rank));
        // As many threads as heads, and more.
        for (const int threads : {1, 5}) {
          const VariantRun run =
              run_variant(variant, p, params_of(variant), threads, "gaussian", 1,
                          {{"E", drawn(2, rank, keys, 0)}, {"F", drawn(2, rank, keys, 2)}});
          EXPECT_LE(definition_error(variant, run), variant.definition_tolerance());
          EXPECT_EQ(static_cast<double>(run.workspace_peak), run.cost.workspace_bytes);
        }
      }
    }
  }
}

TEST(BlockedProjection, HoldsEveryEntryWhereItIsRead) {
  const std::int64_t heads = 2, rank = 3, keys = 300;
  const AuxTensor e = drawn(heads, rank, keys, 1);
  const kernels::SequenceProjection whole{e.values.data(), heads, rank, keys};
  const kernels::BlockedProjection blocked(whole);
  EXPECT_EQ(blocked.rank(), rank);
  for (std::int64_t h = 0; h < heads; ++h) {
    for (std::int64_t r = 0; r < rank; ++r) {
      for (std::int64_t j = 0; j < keys; ++j) {
        const std::int64_t begin = j / kernels::kProjectedKeys * kernels::kProjectedKeys;
        ASSERT_EQ(blocked.row(h, begin, r)[j - begin], whole.row(h, r)[j]) << h << r << j;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, CompressedKeys, ::testing::Values("avx512", "avx2"),
                         [](const auto& isa) { return isa.param; });

}  // namespace
}  // namespace attnbench::testing
