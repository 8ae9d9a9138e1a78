// Tiles of a few queries run on an engine of their own: every number of lanes around its limit, and
// head dimensions and key counts that are no multiple of what it takes at a time.
#include <gtest/gtest.h>

#include <cmath>

#include "conformance.h"

namespace attnbench::testing {
namespace {

Problem decoding(std::int64_t group, std::int64_t keys, std::int64_t dim, std::int64_t dim_v) {
  Problem p;
  p.heads_q = 2 * group;
  p.heads_kv = 2;
  p.seq_q = 1;
  p.seq_k = keys;
  p.dim_qk = dim;
  p.dim_v = dim_v;
  p.mode = Mode::decode;
  return p;
}

void expect_close(const std::string& name, const Problem& problem,
                  const std::map<std::string, std::string>& params, int threads) {
  SCOPED_TRACE(name + " " + problem_name(problem));
  const Variant& variant = *Registry::instance().find(name);
  const VariantRun run = run_variant(variant, problem, params_of(variant, params), threads);
  EXPECT_LE(definition_error(variant, run), variant.definition_tolerance());
}

class FewQueries : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!kernels::select_isa(GetParam())) GTEST_SKIP() << "not on this machine";
  }
  void TearDown() override { ASSERT_TRUE(kernels::select_isa("auto")); }
};

TEST_P(FewQueries, EveryGroupSizeWithOddSizes) {
  for (std::int64_t group = 1; group <= 10; ++group) {
    for (const auto [keys, dim, dim_v] : std::initializer_list<std::array<std::int64_t, 3>>{
             {1, 64, 64}, {2, 3, 65}, {3, 17, 1}, {5, 64, 24}, {63, 8, 128}, {66, 100, 72}}) {
      expect_close("flash", decoding(group, keys, dim, dim_v), {}, 1);
    }
  }
}

TEST_P(FewQueries, KeysSplitAmongThreads) {
  for (std::int64_t group : {1, 3, 6, 8, 9}) {
    Problem p = decoding(group, 700, 40, 56);
    p.heads_q = group;
    p.heads_kv = 1;
    expect_close("flash", p, {}, 2);
  }
}

/// A query or two handle many blocks of keys in one step, of which some are masked or incomplete.
TEST_P(FewQueries, ManyBlocksInOneStep) {
  for (std::int64_t queries : {1, 2, 3}) {
    Problem p = decoding(1, 1300, 40, 24);
    p.mode = Mode::cross;
    p.seq_q = queries;
    expect_close("flash", p, {}, 1);
    expect_close("full", p, {}, 1);
    p.causal = true;
    p.position = Position::alibi;
    p.softcap = 2;
    expect_close("flash", p, {}, 1);
    expect_close("local", p, {{"left", "700"}, {"right", "0"}}, 1);
    expect_close("longformer", p, {{"window", "40"}, {"global", "3"}}, 1);
    p.key_lengths = {1111};
    expect_close("flash", p, {}, 1);
  }
}

/// The last panel of a score matrix has from one query on, and keeps up to eight of them by rows;
/// heads on two threads have a matrix each, and so have those of a group.
TEST_P(FewQueries, LastPanelsOfAMaterialisedMatrix) {
  for (std::int64_t queries : {7, 8, 9, 63, 64, 65, 72, 73, 130}) {
    Problem p = decoding(3, 150, 24, 40);
    p.mode = Mode::cross;
    p.seq_q = queries;
    expect_close("full", p, {}, 2);
    p.causal = true;
    p.softcap = 3;
    p.sink = {-2, -1, 0, 1, 2, 3};
    expect_close("full", p, {}, 2);
    p.key_lengths = {70};
    expect_close("full", p, {}, 1);
  }
}

/// Few lanes over keys from beyond the caches ask for the next block of keys while they compute
/// one; with AVX2 full tiles of 64 do as well.
TEST_P(FewQueries, FarKeysOfWideTiles) {
  for (const std::int64_t lanes : {12, 24, 64}) {
    for (const int threads : {1, 3}) {
      Problem p = decoding(lanes, 13000, 64, 72);
      p.key_lengths = {12345};
      expect_close("flash", p, {}, threads);
    }
  }
}

/// Rows of values that all lanes would take in parts go to the first lanes whole where they come
/// from beyond the caches.
TEST_P(FewQueries, FarKeysOfNarrowTiles) {
  for (std::int64_t group = 1; group <= 8; ++group) {
    for (const std::int64_t dim_v : {64, 72, 136}) {
      Problem p = decoding(group, 13000, 64, dim_v);
      p.key_lengths = {12345};
      expect_close("flash", p, {}, 1);
    }
  }
}

TEST_P(FewQueries, MasksAndResumedRows) {
  for (std::int64_t queries : {2, 5, 7, 8}) {
    Problem p = decoding(1, 130, 32, 32);
    p.mode = Mode::cross;
    p.seq_q = queries;
    p.causal = true;
    expect_close("flash", p, {}, 1);
    expect_close("local", p, {{"left", "20"}, {"right", "0"}}, 1);
    p.key_lengths = {77};
    expect_close("flash", p, {}, 1);
    Problem self = decoding(queries, 90, 32, 32);
    self.seq_q = self.seq_k;
    self.mode = Mode::self;
    self.causal = true;
    expect_close("sparse", self, {{"pattern", "strided"}, {"stride", "45"}}, 1);
  }
}

/// In a decoding step N is the length of the cache: what is quadratic when all rows are computed
/// takes as much per key of the one row, and the cost functions say so as well as the laws.
TEST(DecodingLaws, AreThoseOfTheCost) {
  int checked = 0;
  for (const Variant* variant : Registry::instance().all()) {
    const ParamValues params = params_of(*variant);
    const std::string whole = variant->laws(params).time;
    if (whole != "N^2" && whole != "N^1.5") continue;
    const Problem shorter = decoding(4, 1 << 16, 64, 64), longer = decoding(4, 1 << 18, 64, 64);
    if (variant->refusal(shorter, params) || variant->refusal(longer, params)) continue;
    SCOPED_TRACE(variant->info().name);
    const auto work = [&](const Problem& p) {
      const Cost cost = variant->cost(p, params, 1);
      return cost.performed_flops + cost.exp_count;
    };
    const double growth = std::log(work(longer) / work(shorter)) / std::log(4.0);
    const std::string law = variant->laws_on(shorter, params).time;
    EXPECT_EQ(law, whole == "N^2" ? "N" : "N^0.5");
    EXPECT_NEAR(growth, whole == "N^2" ? 1 : 0.5, 0.15);
    ++checked;
  }
  EXPECT_GE(checked, 8);
  const Variant& full = *Registry::instance().find("full");
  EXPECT_EQ(full.laws_on(decoding(1, 64, 8, 8), params_of(full)).workspace, "N");
  Problem self = decoding(1, 64, 8, 8);
  self.mode = Mode::self;
  EXPECT_EQ(full.laws_on(self, params_of(full)).time, "N^2");
  EXPECT_EQ(full.laws_on(self, params_of(full)).workspace, "N^2");
}

INSTANTIATE_TEST_SUITE_P(Isas, FewQueries, ::testing::Values("avx512", "avx2"),
                         [](const auto& isa) { return isa.param; });

}  // namespace
}  // namespace attnbench::testing
