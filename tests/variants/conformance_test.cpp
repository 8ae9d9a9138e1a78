// Every registered variant against its own float64 definition, on every instruction set, over a
// grid of problems and parameters. A new variant is found by itself.
#include "conformance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <optional>

#include "kernels/op_count.h"
#include "masked_problems.h"

namespace attnbench::testing {
namespace {

/// A padded batch with one row of length 0, NaN in all keys and values that do not count.
void check_padding(const Variant& variant, bool causal) {
  Problem problem;
  problem.batch = 3;
  problem.heads_q = 4;
  problem.heads_kv = 2;
  problem.seq_q = problem.seq_k = 150;
  problem.dim_qk = problem.dim_v = 32;
  problem.causal = causal;
  problem.key_lengths = {97, 1, 0};
  ParamValues params = params_of(variant);
  if (variant.refusal(problem, params)) return;
  InputTensors in = drawn_inputs(problem, "gaussian", 1);
  auto aux = variant.complete_aux(problem, params, {}, 1);
  ASSERT_TRUE(aux);
  const auto rows = all_rows(problem);
  const auto expected = variant.reference({problem, params, *aux, in.view(), rows});
  for (std::int64_t b = 0; b < problem.batch; ++b) {
    for (std::int64_t h = 0; h < problem.heads_kv; ++h) {
      for (std::int64_t j = problem.key_length(b); j < problem.seq_k; ++j) {
        std::fill_n(in.k.view().row(b, h, j), problem.dim_qk, NAN);
        std::fill_n(in.v.view().row(b, h, j), problem.dim_v, NAN);
      }
    }
  }
  auto plan = variant.prepare(problem, params, *aux);
  ASSERT_TRUE(plan);
  Tensor out({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
  Workspace workspace(variant.cost(problem, params, 2).workspace_bytes);
  kernels::ThreadArena arena(2);
  (*plan)->run(in.view(), out.view(), workspace, arena);
  EXPECT_LE(compare_rows(out.view(), rows, expected).relative_l2, variant.definition_tolerance());
  for (std::int64_t h = 0; h < problem.heads_q; ++h) {
    for (std::int64_t i = 0; i < problem.seq_q; ++i) {
      const float* row = out.view().row(2, h, i);
      EXPECT_TRUE(std::all_of(row, row + problem.dim_v, [](float x) { return x == 0; }));
    }
  }
}

const std::vector<Problem>& all_problems() {
  static const std::vector<Problem> all = [] {
    std::vector<Problem> grid = problem_grid();
    grid.insert(grid.end(), scored_problem_grid().begin(), scored_problem_grid().end());
    grid.insert(grid.end(), masked_grid().begin(), masked_grid().end());
    grid.insert(grid.end(), crossed_grid().begin(), crossed_grid().end());
    return grid;
  }();
  return all;
}

/// Under ThreadSanitizer one variant's grid takes minutes; a suite that runs on one thread, or
/// repeats what another one here runs on two, has nothing to show it.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#define SKIP_UNDER_THREAD_SANITIZER() \
  if (kThreadSanitizer) GTEST_SKIP() << "another suite shows ThreadSanitizer these threads"

bool is_crossed(const Problem& problem) {
  const bool scored =
      problem.position != Position::none || problem.softcap || !problem.sink.empty();
  return problem.mask != nullptr && scored;
}

class Conformance : public ::testing::TestWithParam<const Variant*> {
 protected:
  const Variant& variant() const { return *GetParam(); }

  /// Calls check(params, problem) for everything that the variant supports.
  template <class Check>
  void for_each_supported(Check check) {
    int supported = 0;
    const ParamValues defaults = params_of(variant());
    for (const ParamValues& params : param_sets(variant())) {
      for (const Problem& problem : all_problems()) {
        if (problem.scale && !variant().info().has_scale) continue;
        if (variant().refusal(problem, params)) continue;
        // Of what crosses terms, parameters change nothing more.
        if (is_crossed(problem) && params.canonical() != defaults.canonical()) continue;
        ++supported;
        SCOPED_TRACE(params.canonical() + " " + problem_name(problem));
        check(params, problem);
        if (HasFatalFailure()) return;
      }
    }
    EXPECT_GE(supported, 10) << "a suite that tests next to nothing";
  }
  void TearDown() override { ASSERT_TRUE(kernels::select_isa("auto")); }
};

TEST_P(Conformance, MatchesItsDefinitionOnEveryInstructionSet) {
  SKIP_UNDER_THREAD_SANITIZER();
  for_each_supported([&](const ParamValues& params, const Problem& problem) {
    std::optional<ReferenceRows> expected;
    for (const std::string& isa : kernels::available_isas()) {
      if (isa != "avx512" && isa != "avx2") continue;
      ASSERT_TRUE(kernels::select_isa(isa));
      SCOPED_TRACE(isa);
      const VariantRun run = run_variant(variant(), problem, params);
      if (!expected) expected = definition_of(variant(), run);
      EXPECT_LE(error_against(*expected, run), variant().definition_tolerance());
    }
  });
}

TEST_P(Conformance, TakesExactlyTheWorkspaceItDeclares) {
  for (int threads : {1, 2, 3}) {
    for_each_supported([&](const ParamValues& params, const Problem& problem) {
      const VariantRun run = run_variant(variant(), problem, params, threads);
      EXPECT_EQ(run.workspace_peak, run.cost.workspace_bytes) << threads << " threads";
    });
  }
}

TEST_P(Conformance, PerformsTheFlopsItDeclares) {
  SKIP_UNDER_THREAD_SANITIZER();
  for (int threads : {1, 2}) {
    for_each_supported([&](const ParamValues& params, const Problem& problem) {
      const kernels::ScopedOpCount count;
      const VariantRun run = run_variant(variant(), problem, params, threads);
      EXPECT_DOUBLE_EQ(count.flops(), run.cost.performed_flops) << threads << " threads";
      EXPECT_DOUBLE_EQ(count.exps(), run.cost.exp_count) << threads << " threads";
      EXPECT_DOUBLE_EQ(count.float64_flops(), run.cost.float64_flops) << threads << " threads";
      EXPECT_DOUBLE_EQ(count.float64_exps(), run.cost.float64_exps) << threads << " threads";
    });
  }
}

TEST_P(Conformance, IsBitForBitRepeatableAndAgreesAcrossThreads) {
  for_each_supported([&](const ParamValues& params, const Problem& problem) {
    const VariantRun one = run_variant(variant(), problem, params, 1);
    const VariantRun two = run_variant(variant(), problem, params, 2);
    const VariantRun again = run_variant(variant(), problem, params, 2);
    for (std::size_t i = 0; i < two.output.buffer().size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(two.output.buffer().data()[i]),
                std::bit_cast<std::uint32_t>(again.output.buffer().data()[i]));
    }
    EXPECT_LE(relative_difference(two.output, one.output), variant().definition_tolerance());
  });
}

/// Logits of standard deviation 30: up to about 100 in size, nearly one-hot weights.
TEST_P(Conformance, HoldsForLargeLogits) {
  SKIP_UNDER_THREAD_SANITIZER();
  for (const Problem& problem : all_problems()) {
    const ParamValues params = params_of(variant());
    if (problem.scale || variant().refusal(problem, params)) continue;
    SCOPED_TRACE(problem_name(problem));
    const VariantRun run = run_variant(variant(), problem, params, 1, "peaked=30");
    EXPECT_LE(definition_error(variant(), run), variant().definition_tolerance());
  }
}

TEST_P(Conformance, HoldsForDenormalAndEqualInputs) {
  SKIP_UNDER_THREAD_SANITIZER();
  for (const Problem& problem : all_problems()) {
    const ParamValues params = params_of(variant());
    if (problem.scale || variant().refusal(problem, params)) continue;
    SCOPED_TRACE(problem_name(problem));
    for (float fill : {1e-39F, 0.0F, 0.75F}) {
      ParamValues used = params;
      InputTensors in = drawn_inputs(problem, "gaussian", 1);
      for (float& x : in.q.buffer().span()) x = fill;
      for (float& x : in.k.buffer().span()) x = fill;
      auto aux = variant().complete_aux(problem, used, {}, 1);
      ASSERT_TRUE(aux);
      auto plan = variant().prepare(problem, used, *aux);
      ASSERT_TRUE(plan);
      Tensor out({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
      Workspace workspace(variant().cost(problem, used, 1).workspace_bytes);
      kernels::ThreadArena arena(1);
      (*plan)->run(in.view(), out.view(), workspace, arena);
      const auto rows = all_rows(problem);
      const auto expected = variant().reference({problem, used, *aux, in.view(), rows});
      EXPECT_LE(compare_rows(out.view(), rows, expected).relative_l2,
                variant().definition_tolerance());
    }
  }
}

/// Keys beyond a row's length are never read: NaN there must not reach the output.
TEST_P(Conformance, NeverReadsKeysBeyondTheLength) {
  std::vector<std::string> isas = kernels::available_isas();
  std::erase_if(isas, [](const std::string& isa) { return isa != "avx512" && isa != "avx2"; });
  ASSERT_FALSE(isas.empty());
  for (const std::string& isa : isas) {
    ASSERT_TRUE(kernels::select_isa(isa));
    SCOPED_TRACE(isa);
    for (bool causal : {false, true}) check_padding(variant(), causal);
  }
}

TEST_P(Conformance, SaysWhatItIs) {
  const VariantInfo& info = variant().info();
  EXPECT_FALSE(info.summary.empty());
  EXPECT_FALSE(info.formula.empty());
  EXPECT_FALSE(info.family.empty());
  EXPECT_TRUE(info.source.find("19") != std::string::npos ||
              info.source.find("20") != std::string::npos)
      << "a source names its year";
  EXPECT_FALSE(info.laws.time.empty());
  EXPECT_FALSE(info.laws.workspace.empty());
  for (const ParamSpec& spec : info.params) {
    EXPECT_TRUE(check_param(spec, spec.default_text)) << spec.name;
    EXPECT_FALSE(spec.meaning.empty()) << spec.name;
  }
  AuxSet unknown;
  unknown["no such tensor"] = {{1}, {0.0F}, {}, false};
  ParamValues params = params_of(variant());
  EXPECT_FALSE(variant().complete_aux(problem_grid()[2], params, unknown, 1));
}

std::string test_name(const ::testing::TestParamInfo<const Variant*>& info) {
  std::string name = info.param->info().name;
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Variants, Conformance, ::testing::ValuesIn(Registry::instance().all()),
                         test_name);

TEST(RegistryAgainstFolder, EveryFileInVariantsIsRegistered) {
  EXPECT_TRUE(Registry::instance().errors().empty());
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(ATTNBENCH_SOURCE_DIR) + "/variants")) {
    if (entry.path().extension() != ".cpp") continue;
    ++files;
    std::string name = entry.path().stem().string();
    for (char& c : name) {
      if (c == '_') c = '-';
    }
    EXPECT_NE(Registry::instance().find(name), nullptr) << entry.path();
  }
  EXPECT_EQ(files, Registry::instance().all().size());
}

/// Sizes beyond those of the grid, from which engines ask for what they need next: keys of more
/// than 512 KiB, weights of more than 256 KiB, calls of more than 2 MiB.
TEST(LargeProblems, MatchTheirDefinitions) {
  Problem keys;
  keys.heads_q = keys.heads_kv = 1;
  keys.seq_q = 70;
  keys.seq_k = 2111;
  keys.dim_qk = keys.dim_v = 72;
  keys.mode = Mode::cross;
  Problem weights;
  weights.heads_q = weights.heads_kv = 8;
  weights.seq_q = weights.seq_k = 99;
  weights.dim_qk = weights.dim_v = 48;
  Problem call;
  call.heads_q = 8;
  call.heads_kv = 4;
  call.seq_q = call.seq_k = 601;
  call.dim_qk = call.dim_v = 80;
  for (const bool causal : {false, true}) {
    for (const auto& [name, large] :
         std::initializer_list<std::pair<std::string, const Problem&>>{{"topk", keys},
                                                                       {"hard", keys},
                                                                       {"mha", weights},
                                                                       {"performer", call},
                                                                       {"full", call}}) {
      Problem problem = large;
      problem.causal = causal;
      SCOPED_TRACE(name + " " + problem_name(problem));
      const Variant& variant = named(name);
      const VariantRun run = run_variant(variant, problem, params_of(variant), 2);
      EXPECT_LE(definition_error(variant, run), variant.definition_tolerance());
    }
  }
}

}  // namespace
}  // namespace attnbench::testing
