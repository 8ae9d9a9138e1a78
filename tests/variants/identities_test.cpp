// Identities between variants, which no shared reference could get wrong for both.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "conformance.h"

namespace attnbench::testing {
namespace {

constexpr double kSame = 3e-6;  // Two float32 evaluations of one function on up to 300 keys.

VariantRun run_named(const std::string& name, const Problem& problem,
                     const std::map<std::string, std::string>& params = {}) {
  return run_variant(named(name), problem, params_of(named(name), params), 2);
}

void expect_equals_full(const std::string& name, const std::map<std::string, std::string>& params) {
  for (const Problem& problem : problem_grid()) {
    SCOPED_TRACE(problem_name(problem));
    EXPECT_LE(relative_difference(run_named(name, problem, params).output,
                                  run_named("full", problem).output),
              kSame);
  }
}

TEST(Identities, FlashIsFull) { expect_equals_full("flash", {}); }

/// Heads so long that tiles go over the keys in strips, threads take strips in turns, and the last
/// strip has a tile of few lanes.
TEST(Identities, FlashIsFullWhereTilesShareStripes) {
  for (const bool causal : {false, true}) {
    Problem problem;
    problem.heads_q = problem.heads_kv = 2;
    problem.seq_q = problem.seq_k = 2181;
    problem.dim_qk = problem.dim_v = 64;
    problem.causal = causal;
    // As kSame, on eight times as many keys.
    EXPECT_LE(
        relative_difference(run_named("flash", problem).output, run_named("full", problem).output),
        3 * kSame);
  }
}

/// A call that caches do not keep, so that panels ask for what they go over ahead of time; the last
/// panel has few lanes.
TEST(Identities, FullIsFlashWherePanelsAsk) {
  for (const bool causal : {false, true}) {
    Problem problem;
    problem.heads_q = problem.heads_kv = 2;
    problem.seq_q = 517;
    problem.seq_k = 2500;
    problem.dim_qk = problem.dim_v = 96;
    problem.causal = causal;
    EXPECT_LE(
        relative_difference(run_named("full", problem).output, run_named("flash", problem).output),
        3 * kSame);
  }
}

TEST(Identities, LocalWithAWindowAsWideAsTheSequenceIsFull) {
  expect_equals_full("local", {{"left", "1000"}, {"right", "1000"}});
}

TEST(Identities, LocalUnlimitedIsFull) {
  expect_equals_full("local", {{"left", "-1"}, {"right", "-1"}});
}

TEST(Identities, SparseWithStrideOneIsFull) {
  expect_equals_full("sparse", {{"pattern", "strided"}, {"stride", "1"}});
  expect_equals_full("sparse", {{"pattern", "fixed"}, {"stride", "1"}, {"summary", "1"}});
}

TEST(Identities, SparseFixedWithEveryKeyASummaryIsFull) {
  expect_equals_full("sparse", {{"pattern", "fixed"}, {"stride", "5"}, {"summary", "5"}});
}

TEST(Identities, SparseWithAStrideBeyondTheSequenceIsFull) {
  expect_equals_full("sparse", {{"pattern", "strided"}, {"stride", "1000"}});
}

TEST(Identities, LinformerWithTheIdentityIsFull) {
  for (const Problem& problem : problem_grid()) {
    if (problem.causal || !problem.key_lengths.empty()) continue;
    SCOPED_TRACE(problem_name(problem));
    const Variant& linformer = named("linformer");
    AuxTensor identity{{problem.seq_k, problem.seq_k}, {}, {}, false};
    identity.values.assign(static_cast<std::size_t>(problem.seq_k * problem.seq_k), 0.0F);
    for (std::int64_t j = 0; j < problem.seq_k; ++j) {
      identity.values[static_cast<std::size_t>(j * problem.seq_k + j)] = 1;
    }
    const VariantRun run =
        run_variant(linformer, problem, params_of(linformer), 2, "gaussian", 1, {{"E", identity}});
    EXPECT_LE(relative_difference(run.output, run_named("full", problem).output), kSame);
  }
}

/// The causal running state against the quadratic form, row by row: row i of the causal problem is
/// the last row of the bidirectional one on the first i + 1 keys.
TEST(Identities, PerformerCausalRowsAreBidirectionalOnTheirPrefix) {
  const Variant& performer = named("performer");
  Problem causal;
  causal.heads_q = causal.heads_kv = 1;
  causal.seq_q = causal.seq_k = 150;
  causal.dim_qk = causal.dim_v = 16;
  causal.causal = true;
  const VariantRun all = run_variant(performer, causal, params_of(performer), 2);
  for (std::int64_t i : {0, 1, 31, 32, 63, 64, 100, 149}) {
    Problem prefix = causal;
    prefix.causal = false;
    prefix.key_lengths = {i + 1};
    const VariantRun one = run_variant(performer, prefix, params_of(performer));
    for (std::int64_t d = 0; d < 16; ++d) {
      EXPECT_NEAR(all.output.view().at(0, 0, i, d), one.output.view().at(0, 0, i, d), 2e-5);
    }
  }
}

TEST(Identities, DecodeIsTheLastRowOfCausal) {
  for (const char* name : {"full", "flash", "local", "sparse", "performer"}) {
    SCOPED_TRACE(name);
    Problem self;
    self.heads_q = 4;
    self.heads_kv = 2;
    self.seq_q = self.seq_k = 190;
    self.dim_qk = self.dim_v = 32;
    self.causal = true;
    const VariantRun all = run_named(name, self);
    Problem decode = self;
    decode.seq_q = 1;
    decode.mode = Mode::decode;
    const Variant& variant = named(name);
    ParamValues params = params_of(variant);
    auto aux = variant.complete_aux(decode, params, {}, 1);
    ASSERT_TRUE(aux);
    auto plan = variant.prepare(decode, params, *aux);
    ASSERT_TRUE(plan);
    Tensor q({1, 4, 1, 32}, Layout::bhnd), out({1, 4, 1, 32}, Layout::bhnd);
    for (std::int64_t h = 0; h < 4; ++h) {
      for (std::int64_t d = 0; d < 32; ++d) {
        q.view().at(0, h, 0, d) = all.inputs.q.view().at(0, h, 189, d);
      }
    }
    Workspace workspace(variant.cost(decode, params, 1).workspace_bytes);
    kernels::ThreadArena arena(1);
    (*plan)->run({q.view(), all.inputs.k.view(), all.inputs.v.view()}, out.view(), workspace,
                 arena);
    for (std::int64_t h = 0; h < 4; ++h) {
      for (std::int64_t d = 0; d < 32; ++d) {
        EXPECT_NEAR(out.view().at(0, h, 0, d), all.output.view().at(0, h, 189, d), 1e-5);
      }
    }
  }
}

TEST(Comparator, SaysNo) {
  Problem problem;
  problem.heads_q = problem.heads_kv = 1;
  problem.seq_q = problem.seq_k = 20;
  problem.dim_qk = problem.dim_v = 8;
  const Variant& flash = named("flash");
  VariantRun run = run_variant(flash, problem, params_of(flash));
  EXPECT_LE(definition_error(flash, run), 1e-6);
  float& element = run.output.view().at(0, 0, 7, 3);
  const float good = element;
  element = good + 0.01F;
  EXPECT_GT(definition_error(flash, run), 1e-4);
  element = NAN;
  EXPECT_EQ(definition_error(flash, run), std::numeric_limits<double>::infinity());
  element = good;
  const auto rows = all_rows(problem);
  const ReferenceRows zero{std::vector<double>(std::size_t{20} * 8, 0.0), {}};
  EXPECT_EQ(compare_rows(run.output.view(), rows, zero).relative_l2,
            std::numeric_limits<double>::infinity())
      << "a zero reference demands a zero output";
}

}  // namespace
}  // namespace attnbench::testing
