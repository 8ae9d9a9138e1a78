// Masks from files: equal to masks that variants have by other means, and to the float64 reference
// under a mask that the test keeps itself.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "evaluate.h"
#include "kernels/op_count.h"
#include "masked_problems.h"

namespace attnbench::testing {
namespace {

std::vector<const Variant*> takers() {
  std::vector<const Variant*> found;
  for (const Variant* variant : Registry::instance().all()) {
    // mla has no key-value heads of its own, which these problems have.
    if (variant->info().takes_mask && variant->info().name != "mla") found.push_back(variant);
  }
  return found;
}

Problem self(std::int64_t seq, bool causal = false) {
  Problem p;
  p.batch = 2;
  p.heads_q = 4;
  p.heads_kv = 2;
  p.seq_q = p.seq_k = seq;
  p.dim_qk = p.dim_v = 32;
  p.causal = causal;
  return p;
}

void expect_same_output(const std::string& name, const Problem& a, const Problem& b,
                        const std::map<std::string, std::string>& params = {}) {
  SCOPED_TRACE(name);
  const InputTensors in = draw_inputs(a, "gaussian", 3);
  EXPECT_LE(relative_difference(evaluate(name, a, in.view(), params),
                                evaluate(name, b, in.view(), params)),
            kSame);
}

Problem with(Problem p, std::shared_ptr<const AttentionMask> mask) {
  p.mask = std::move(mask);
  return p;
}

TEST(Masks, OfBlockMaskIsTheFilesAlone) {
  const Problem problem = with(self(150), drawn_mask({1, 1, 150, 150}, false));
  EXPECT_LE(relative_difference(
                run_variant(named("block-mask"), problem, params_of(named("block-mask"))).output,
                run_variant(named("flash"), problem, params_of(named("flash"))).output),
            kSame);
}

TEST(Masks, AreTakenByEverySoftmaxVariant) {
  std::vector<std::string> names;
  for (const Variant* variant : takers()) names.push_back(variant->info().name);
  for (const char* name : {"flash", "full", "dot", "local", "sparse", "longformer", "bigbird",
                           "blocked", "block-mask", "bilinear", "content", "additive", "mlp",
                           "location", "topk", "hard", "local-m", "local-p", "mha"}) {
    EXPECT_NE(std::ranges::find(names, name), names.end()) << name;
  }
  const Variant& linear = named("linformer");
  const Problem problem = with(self(70), drawn_mask({1, 1, 70, 70}, false));
  EXPECT_EQ(
      linear.refusal(problem, params_of(linear)),
      "linformer takes no mask from a file: its compressed keys are each a mixture of all keys");
  const Variant& performer = named("performer");
  EXPECT_EQ(performer.refusal(problem, params_of(performer)),
            "performer takes no mask from a file: its keys are summed before they meet a query");
  EXPECT_EQ(named("flash").refusal(problem, {}), std::nullopt);
}

/// A mask takes the place of what block-mask would draw: everything, for comparisons.
std::map<std::string, std::string> whole_pattern(const Variant& variant) {
  if (variant.info().name != "block-mask") return {};
  return {{"density", "1"}};
}

TEST(Masks, OfEverythingChangesNothing) {
  const Problem problem = self(150);
  const auto all = boolean_mask({1, 1, 150, 150}, [](auto...) { return true; });
  const auto zero = additive_mask({2, 1, 150, 150}, [](auto...) { return 0.0; });
  for (const Variant* variant : takers()) {
    const auto params = whole_pattern(*variant);
    expect_same_output(variant->info().name, with(problem, all), problem, params);
    expect_same_output(variant->info().name, with(problem, zero), problem, params);
  }
}

TEST(Masks, OfTheTriangleIsCausal) {
  const auto triangle = boolean_mask(
      {1, 1, 150, 150}, [](auto, auto, std::int64_t i, std::int64_t j) { return j <= i; });
  const auto infinite = additive_mask(
      {1, 4, 150, 150},
      [](auto, auto, std::int64_t i, std::int64_t j) { return j <= i ? 0.0 : -INFINITY; });
  for (const char* name : {"flash", "full", "dot", "bilinear", "content", "sparse", "blocked",
                           "topk", "hard", "local-m", "local-p", "mha", "additive"}) {
    expect_same_output(name, with(self(150), triangle), self(150, true));
    expect_same_output(name, with(self(150), infinite), self(150, true));
  }
}

TEST(Masks, OfAWindowIsLocal) {
  const auto window = boolean_mask(
      {1, 1, 300, 300},
      [](auto, auto, std::int64_t i, std::int64_t j) { return j >= i - 9 && j <= i + 5; });
  const InputTensors in = draw_inputs(self(300), "gaussian", 3);
  const Tensor local = evaluate("local", self(300), in.view(), {{"left", "9"}, {"right", "5"}});
  for (const char* name : {"flash", "full"}) {
    EXPECT_LE(relative_difference(evaluate(name, with(self(300), window), in.view()), local),
              kSame);
  }
}

TEST(Masks, OfLengthsAreKeyLengths) {
  Problem padded = self(150);
  padded.key_lengths = {101, 64};
  const auto lengths = boolean_mask({2, 1, 1, 150}, [](std::int64_t b, auto, auto, std::int64_t j) {
    return j < (b == 0 ? 101 : 64);
  });
  for (const Variant* variant : takers()) {
    expect_same_output(variant->info().name, with(self(150), lengths), padded,
                       whole_pattern(*variant));
  }
}

TEST(Masks, WithNothingAllowedGiveZeros) {
  const auto nothing = boolean_mask({1, 1, 1, 90}, [](auto...) { return false; });
  const Problem problem = with(self(90), nothing);
  for (const Variant* variant : takers()) {
    SCOPED_TRACE(variant->info().name);
    const InputTensors in = draw_inputs(problem, "gaussian", 3);
    const Tensor out = evaluate(variant->info().name, problem, in.view());
    EXPECT_TRUE(std::ranges::all_of(out.buffer().span(), [](float x) { return x == 0; }));
  }
}

TEST(Masks, ShiftsOfWholeRowsChangeNothing) {
  const auto shift = additive_mask(
      {1, 1, 80, 80}, [](auto, auto, std::int64_t i, auto) { return i % 2 == 0 ? 7.0 : -1e30; });
  for (const char* name : {"flash", "full", "local", "content"}) {
    const Problem plain = self(80);
    const InputTensors in = draw_inputs(plain, "gaussian", 3);
    const Tensor expected = evaluate(name, plain, in.view());
    const Tensor out = evaluate(name, with(plain, shift), in.view());
    for (std::int64_t d = 0; d < 32; ++d) {
      EXPECT_NEAR(out.view().at(1, 3, 42, d), expected.view().at(1, 3, 42, d), 1e-5) << name;
      // Beside -1e30 the logits of odd rows vanish: each is the mean of its keys.
      EXPECT_TRUE(std::isfinite(out.view().at(1, 3, 43, d))) << name;
    }
  }
}

/// Blocks that the mask forbids are not computed: half of a block triangle's work is left.
TEST(Masks, OfBlocksAreSkipped) {
  const auto blocks =
      boolean_mask({1, 1, 512, 512},
                   [](auto, auto, std::int64_t i, std::int64_t j) { return j / 64 <= i / 64; });
  const Problem dense = self(512);
  const Problem problem = with(dense, blocks);
  const Variant& flash = named("flash");
  const Cost all = flash.cost(dense, {}, 1), some = flash.cost(problem, {}, 1);
  EXPECT_LT(some.performed_flops, 0.6 * all.performed_flops);
  EXPECT_DOUBLE_EQ(*some.useful_flops, *all.useful_flops * 36 / 64);
  EXPECT_DOUBLE_EQ(some.min_bytes, all.min_bytes + 512.0 * 512 / 8);
}

TEST(Masks, ThatAreWrongAreSeen) {
  const Problem problem = with(self(90), drawn_mask({1, 1, 90, 90}, false));
  const Problem other =
      with(self(90), boolean_mask({1, 1, 90, 90}, [&](auto, auto, std::int64_t i, std::int64_t j) {
             return problem.mask->allows(0, 0, i, j) != (i == 50 && j == 60);
           }));
  const InputTensors in = draw_inputs(problem, "gaussian", 3);
  EXPECT_GT(relative_difference(evaluate("flash", problem, in.view()),
                                evaluate("flash", other, in.view())),
            1e-4);
}

}  // namespace
}  // namespace attnbench::testing
