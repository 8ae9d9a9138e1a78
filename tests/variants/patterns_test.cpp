// Variants that are the tiled engine under another pattern: masks worked by hand, and identities
// with variants that share none of their code.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "evaluate.h"
#include "kernels/op_count.h"

namespace attnbench::testing {
namespace {

/// The keys that each query may read, as '1' and '0', one row per query.
std::vector<std::string> mask_of(const std::string& name, const Problem& problem,
                                 const std::map<std::string, std::string>& given, AuxSet aux = {}) {
  const Variant& variant = named(name);
  ParamValues params = params_of(variant, given);
  EXPECT_TRUE(variant.complete_aux(problem, params, std::move(aux), 1));
  std::vector<std::string> rows;
  for (std::int64_t i = 0; i < problem.seq_q; ++i) {
    rows.emplace_back();
    for (std::int64_t j = 0; j < problem.seq_k; ++j) {
      rows.back() += variant.allows(problem, params, 0, 0, i, j) ? '1' : '0';
    }
  }
  return rows;
}

/// The output against softmax attention in float64 under a mask that the test wrote down.
void expect_masked(const std::string& name, const Problem& problem,
                   const std::map<std::string, std::string>& given, AuxSet aux,
                   const std::vector<std::string>& mask) {
  EXPECT_EQ(mask_of(name, problem, given, aux), mask);
  const InputTensors in = draw_inputs(problem, "gaussian", 7);
  const Tensor out = evaluate(name, problem, in.view(), given, std::move(aux));
  const auto rows = all_rows(problem);
  const auto expected = softmax_attention_rows(
      problem, in.view(), rows, [&](std::int64_t, std::int64_t, std::int64_t i, std::int64_t j) {
        return mask[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] == '1';
      });
  EXPECT_LE(compare_rows(out.view(), rows, {expected, {}}).relative_l2, 1e-6);
  auto wrong = mask;
  char& pair = wrong[problem.seq_q / 2][0];
  pair = pair == '1' ? '0' : '1';
  EXPECT_NE(mask_of(name, problem, given, aux), wrong);
}

void expect_same(const std::string& name, const std::map<std::string, std::string>& params,
                 const std::string& other, const std::map<std::string, std::string>& other_params) {
  for (const Problem& problem : problem_grid()) {
    SCOPED_TRACE(problem_name(problem));
    const InputTensors in = draw_inputs(problem, "gaussian", 3);
    EXPECT_LE(relative_difference(evaluate(name, problem, in.view(), params),
                                  evaluate(other, problem, in.view(), other_params)),
              kSame);
  }
}

TEST(Blocked, WorkedMasks) {
  expect_masked("blocked", one_head(5, 5, 8), {{"block", "2"}}, {},
                {"11000", "11000", "00110", "00110", "00001"});
  // Three queries at positions 2, 3 and 4 of five keys.
  expect_masked("blocked", one_head(3, 5, 8), {{"block", "2"}}, {}, {"00110", "00110", "00001"});
  Problem causal = one_head(5, 5, 8);
  causal.causal = true;
  expect_masked("blocked", causal, {{"block", "2"}, {"neighbours", "1"}}, {},
                {"10000", "11000", "11100", "11110", "00111"});
  // Positions -2 to 2: those before the first key are in a block of their own.
  expect_masked("blocked", one_head(5, 3, 8), {{"block", "2"}}, {},
                {"000", "000", "110", "110", "001"});
}

TEST(Blocked, Identities) {
  expect_same("blocked", {{"block", "1000"}, {"neighbours", "1"}}, "full", {});
  expect_same("blocked", {{"block", "7"}, {"neighbours", "1000"}}, "full", {});
  expect_same("blocked", {{"block", "1"}, {"neighbours", "9"}}, "local",
              {{"left", "9"}, {"right", "9"}});
}

AuxTensor blocks(std::vector<std::int64_t> shape, std::vector<std::int64_t> values) {
  return {std::move(shape), {}, std::move(values), true};
}

/// Six blocks of two keys, the last cut to one: the window is the own block and its neighbours,
/// blocks 0 and 5 are global, and rows 1 to 4 have two random blocks each: one that they read
/// already (row 1: 2), one twice (row 2: 4), a proper one (row 3: 1).
TEST(BigBird, WorkedMaskCountsEveryBlockOnce) {
  const AuxTensor random = blocks({4, 2}, {2, 4, 4, 4, 1, 5, 0, 4});
  const std::map<std::string, std::string> params{{"block", "2"}, {"window", "3"}};
  expect_masked(
      "bigbird", one_head(11, 11, 8), params, {{"random_blocks", random}},
      {"11111111111", "11111111111", "11111100111", "11111100111", "11111111111", "11111111111",
       "11111111111", "11111111111", "11000011111", "11000011111", "11111111111"});
  Problem causal = one_head(4, 11, 8);  // Positions 7 to 10, block rows 3, 4 and 5.
  causal.causal = true;
  expect_masked("bigbird", causal, params, {{"random_blocks", random}},
                {"11111111000", "11000011100", "11000011110", "11111111111"});
}

TEST(BigBird, Identities) {
  expect_same("bigbird", {{"globals", "1000"}}, "full", {});
  expect_same("bigbird", {{"block", "8"}, {"window", "1001"}}, "full", {});
  expect_same("bigbird", {{"block", "1"}, {"window", "19"}, {"globals", "0"}, {"random", "0"}},
              "local", {{"left", "9"}, {"right", "9"}});
}

TEST(BigBird, DrawsDistinctBlocksThatAreNotReadOtherwise) {
  const Variant& bigbird = named("bigbird");
  for (bool causal : {false, true}) {
    Problem problem = one_head(40 * 64 + 5, 40 * 64 + 5, 8);
    problem.causal = causal;
    ParamValues params = params_of(bigbird), again = params, other = params;
    const AuxTensor drawn = bigbird.complete_aux(problem, params, {}, 5)->at("random_blocks");
    EXPECT_EQ(drawn.shape, (std::vector<std::int64_t>{39, 3}));
    EXPECT_EQ(drawn.ints, bigbird.complete_aux(problem, again, {}, 5)->at("random_blocks").ints);
    EXPECT_NE(drawn.ints, bigbird.complete_aux(problem, other, {}, 6)->at("random_blocks").ints);
    for (std::int64_t row = 1; row < 40; ++row) {
      std::vector<std::int64_t> own(drawn.ints.begin() + (row - 1) * 3,
                                    drawn.ints.begin() + row * 3);
      std::erase(own, row);  // What fills rows with fewer than three blocks to choose from.
      std::ranges::sort(own);
      EXPECT_EQ(std::ranges::unique(own).size(), 0U) << row;
      const std::int64_t eligible = causal ? std::max<std::int64_t>(row - 2, 0) : 35;
      EXPECT_EQ(static_cast<std::int64_t>(own.size()), std::min<std::int64_t>(eligible, 3));
      for (std::int64_t block : own) {
        EXPECT_TRUE(block >= 1 && block < 40 && std::abs(block - row) > 1) << row << " " << block;
        EXPECT_TRUE(!causal || block < row);
      }
    }
    // A plan is laid out before anything is drawn: the cost must not depend on the draw.
    const Cost planned = bigbird.cost(problem, params_of(bigbird), 1);
    EXPECT_EQ(planned.performed_flops, bigbird.cost(problem, other, 1).performed_flops);
    EXPECT_EQ(planned.exp_count, bigbird.cost(problem, other, 1).exp_count);
  }
}

/// What was drawn, handed back as a tensor, is the same mask, cost and output.
TEST(BigBird, GivenBlocksAreWhatWasDrawn) {
  const Variant& bigbird = named("bigbird");
  Problem problem = one_head(300, 300, 16);
  problem.causal = true;
  const std::map<std::string, std::string> params{{"block", "16"}, {"random", "2"}};
  const VariantRun drawn =
      run_variant(bigbird, problem, params_of(bigbird, params), 2, "gaussian", 9);
  const VariantRun given = run_variant(bigbird, problem, params_of(bigbird, {{"block", "16"}}), 2,
                                       "gaussian", 9, drawn.aux);
  EXPECT_EQ(relative_difference(given.output, drawn.output), 0.0);
  EXPECT_EQ(given.cost.performed_flops, drawn.cost.performed_flops);
  EXPECT_EQ(given.params.integer("random"), 2);
  for (std::int64_t i = 0; i < 300; ++i) {
    for (std::int64_t j = 0; j < 300; ++j) {
      ASSERT_EQ(bigbird.allows(problem, given.params, 0, 0, i, j),
                bigbird.allows(problem, drawn.params, 0, 0, i, j));
    }
  }
  const VariantRun other =
      run_variant(bigbird, problem, params_of(bigbird, params), 2, "gaussian", 10);
  EXPECT_GT(relative_difference(other.output, drawn.output), 1e-3);
}

TEST(BigBird, RefusesWhatHasNoMeaning) {
  const Variant& bigbird = named("bigbird");
  const Problem problem = one_head(11, 11, 8);
  EXPECT_TRUE(bigbird.unsupported_reason(problem, params_of(bigbird, {{"window", "4"}})));
  const std::pair<AuxTensor, const char*> refused[] = {
      {blocks({3, 2}, {0, 1, 2, 3, 4, 5}), "[3, 2]"},
      {blocks({4, 1}, {0, 1, 6, 3}), "block 6"},
      {blocks({4, 1}, {0, 1, -1, 3}), "block -1"},
      {{{4, 1}, {0, 1, 2, 3}, {}, false}, "integers"}};
  for (const auto& [tensor, named_in_message] : refused) {
    ParamValues params = params_of(bigbird, {{"block", "2"}});
    const auto aux = bigbird.complete_aux(problem, params, {{"random_blocks", tensor}}, 1);
    ASSERT_FALSE(aux);
    EXPECT_NE(aux.error().message.find(named_in_message), std::string::npos) << aux.error().message;
  }
}

/// A plan knows the cost before the seed: also where key lengths cut random blocks short.
TEST(BigBird, PerformsAsMuchWhateverTheSeed) {
  const Variant& bigbird = named("bigbird");
  for (const bool causal : {false, true}) {
    Problem p = one_head(200, 200, 16);
    p.batch = 3;
    p.causal = causal;
    p.key_lengths = {200, 87, 133};
    ParamValues params = params_of(bigbird, {{"block", "8"}, {"random", "4"}});
    const double planned = bigbird.cost(p, params, 1).performed_flops;
    std::set<std::vector<std::int64_t>> draws;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      ParamValues drawn = params;
      const auto aux = bigbird.complete_aux(p, drawn, {}, seed);
      ASSERT_TRUE(aux);
      draws.insert(aux->at("random_blocks").ints);
      EXPECT_DOUBLE_EQ(bigbird.cost(p, drawn, 1).performed_flops, planned) << seed;
    }
    EXPECT_EQ(draws.size(), 12u);
  }
}

TEST(Longformer, WorkedMasks) {
  const Problem p = one_head(7, 7, 8);
  expect_masked("longformer", p, {{"window", "1"}, {"global", "3"}}, {},
                {"1101000", "1111000", "0111000", "1111111", "0001110", "0001111", "0001011"});
  expect_masked("longformer", p, {{"window", "1"}, {"dilation", "2"}, {"global", "6+0+6"}}, {},
                {"1111111", "1101001", "1010101", "1101011", "1010101", "1001011", "1111111"});
  Problem causal = p;
  causal.causal = true;
  expect_masked("longformer", causal, {{"window", "1"}, {"dilation", "2"}, {"global", "1+5"}}, {},
                {"1000000", "1100000", "1110000", "0101000", "0110100", "1111110", "0100111"});
  // Positions 4 to 6.
  expect_masked("longformer", one_head(3, 7, 8), {{"window", "1"}, {"global", "0+5"}}, {},
                {"1001110", "1111111", "1000011"});
}

TEST(Longformer, Identities) {
  expect_same("longformer", {{"window", "9"}}, "local", {{"left", "9"}, {"right", "9"}});
  expect_same("longformer", {{"window", "1000"}}, "full", {});
  expect_same("longformer", {{"window", "1000"}, {"dilation", "1"}, {"global", "0"}}, "full", {});
  expect_same("longformer", {{"window", "0"}}, "blocked", {{"block", "1"}});
}

/// Global positions in every arrangement, dilations, grouped heads, padded keys: against the
/// float64 definition over the grid (the conformance suite has no list parameters).
TEST(Longformer, GlobalPositionsOverTheGrid) {
  for (const Problem& problem : problem_grid()) {
    std::string every;  // More than a block of global keys.
    for (std::int64_t j = 0; j < problem.seq_k; j += 2) {
      every += (every.empty() ? "" : "+") + std::to_string(j);
    }
    const std::string last = std::to_string(problem.seq_k - 1);
    for (const std::string& global : {last, "0+" + last, every}) {
      for (const char* dilation : {"1", "3"}) {
        for (const char* window : {"3", "40"}) {
          SCOPED_TRACE(problem_name(problem) + " " + global.substr(0, 20) + " " + dilation + " " +
                       window);
          const std::map<std::string, std::string> params{
              {"global", global}, {"dilation", dilation}, {"window", window}};
          const kernels::ScopedOpCount count;
          const VariantRun run =
              run_variant(named("longformer"), problem, params_of(named("longformer"), params), 2);
          EXPECT_LE(definition_error(named("longformer"), run), 1e-5);
          EXPECT_EQ(run.workspace_peak, run.cost.workspace_bytes);
          EXPECT_DOUBLE_EQ(count.flops(), run.cost.performed_flops);
          EXPECT_DOUBLE_EQ(count.exps(), run.cost.exp_count);
        }
      }
    }
  }
}

TEST(Longformer, RefusesAGlobalPositionBeyondTheKeys) {
  const Variant& longformer = named("longformer");
  const auto reason =
      longformer.unsupported_reason(one_head(7, 7, 8), params_of(longformer, {{"global", "2+7"}}));
  ASSERT_TRUE(reason);
  EXPECT_NE(reason->find("7"), std::string::npos) << *reason;
}

TEST(BlockMask, Identities) {
  expect_same("block-mask", {{"density", "1"}}, "full", {});
  expect_same("block-mask", {{"density", "1"}, {"block", "7"}}, "full", {});
  for (bool causal : {false, true}) {
    Problem p = one_head(96, 96, 8);
    p.causal = causal;
    EXPECT_LE(relative_difference(
                  run_variant(named("block-mask"), p,
                              params_of(named("block-mask"), {{"density", "0"}, {"block", "16"}}))
                      .output,
                  run_variant(named("blocked"), p, params_of(named("blocked"), {{"block", "16"}}))
                      .output),
              kSame);
  }
}

TEST(BlockMask, DrawsAsManyPairsWhateverTheSeed) {
  const Variant& variant = named("block-mask");
  for (bool causal : {false, true}) {
    for (bool padded : {false, true}) {
      Problem p = one_head(1000, 1000, 16);
      p.batch = 2;
      p.causal = causal;
      if (padded) p.key_lengths = {1000, 700};
      SCOPED_TRACE(problem_name(p));
      ParamValues one = params_of(variant), same = one, other = one;
      ASSERT_TRUE(variant.complete_aux(p, one, {}, 5));
      ASSERT_TRUE(variant.complete_aux(p, same, {}, 5));
      ASSERT_TRUE(variant.complete_aux(p, other, {}, 6));
      EXPECT_EQ(one.text("draw"), "5");
      EXPECT_EQ(variant.cost(p, one, 1).performed_flops, variant.cost(p, other, 1).performed_flops);
      EXPECT_EQ(variant.cost(p, one, 1).performed_flops,
                variant.cost(p, params_of(variant), 1).performed_flops);
      std::int64_t differ = 0, read = 0;
      const auto& softmax = dynamic_cast<const SoftmaxVariant&>(variant);
      for (std::int64_t i = 0; i < 1000; i += 64) {
        for (std::int64_t j = 0; j < 1000; j += 64) {
          const bool allowed = softmax.allows(p, one, 0, 0, i, j);
          ASSERT_EQ(allowed, softmax.allows(p, same, 0, 0, i, j));
          differ += allowed != softmax.allows(p, other, 0, 0, i, j) ? 1 : 0;
          read += allowed ? 1 : 0;
        }
      }
      EXPECT_GT(differ, 10);
      // A quarter of 16 x 16 blocks, or of their lower triangle, rounded in every row.
      EXPECT_NEAR(static_cast<double>(read), causal ? 37 : 64, 12);
    }
  }
}

/// Linear growth is what these patterns are for: four times the length costs four times as much.
TEST(Patterns, PerformLinearWork) {
  for (const char* name : {"blocked", "bigbird", "longformer"}) {
    for (bool causal : {false, true}) {
      SCOPED_TRACE(name);
      const Variant& variant = named(name);
      Problem small = one_head(8192, 8192, 64), large = one_head(32768, 32768, 64);
      small.causal = large.causal = causal;
      const Cost a = variant.cost(small, params_of(variant), 1);
      const Cost b = variant.cost(large, params_of(variant), 1);
      EXPECT_NEAR(b.performed_flops / a.performed_flops, 4, 0.2);
      EXPECT_EQ(b.workspace_bytes, a.workspace_bytes);
      EXPECT_LT(a.performed_flops, 0.25 * *a.useful_flops);
    }
  }
}

/// The last query alone, with all keys, is the last row of the causal problem; drawn tensors are
/// the same, because they depend on the keys.
TEST(Patterns, DecodeIsTheLastRowOfCausal) {
  const std::pair<const char*, std::map<std::string, std::string>> cases[] = {
      {"dot", {}},
      {"bilinear", {}},
      {"content", {}},
      {"blocked", {{"block", "50"}}},
      {"bigbird", {{"block", "16"}, {"globals", "0"}}},
      {"bigbird", {{"block", "16"}}},
      {"longformer", {{"window", "20"}, {"dilation", "3"}, {"global", "0+7"}}},
      {"longformer", {{"window", "20"}, {"global", "189"}}}};
  for (const auto& [name, params] : cases) {
    SCOPED_TRACE(name);
    Problem self = one_head(190, 190, 32);
    self.heads_q = 4;
    self.heads_kv = 2;
    self.causal = true;
    const InputTensors in = draw_inputs(self, "gaussian", 3);
    const Tensor all = evaluate(name, self, in.view(), params);
    Problem decode = self;
    decode.seq_q = 1;
    decode.mode = Mode::decode;
    ConstTensorView last = in.view().q;
    last.data = last.row(0, 0, 189);
    last.shape[2] = 1;
    const Tensor one = evaluate(name, decode, {last, in.k.view(), in.v.view()}, params);
    for (std::int64_t h = 0; h < 4; ++h) {
      for (std::int64_t d = 0; d < 32; ++d) {
        EXPECT_NEAR(one.view().at(0, h, 0, d), all.view().at(0, h, 189, d), 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace attnbench::testing
