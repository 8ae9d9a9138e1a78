// Scores and choices worked by hand, their edges, and what they refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>

#include "conformance.h"
#include "kernels/op_count.h"

namespace attnbench::testing {
namespace {

AuxTensor tensor(std::vector<std::int64_t> shape, std::vector<float> values) {
  return {std::move(shape), std::move(values), {}, false};
}

/// One head of `queries` on `keys`, with D = Dv = 1.
struct Worked {
  std::vector<float> queries, keys, values;
  std::optional<double> scale;
  bool causal = false;
};

Problem problem_of(const Worked& w) {
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.dim_qk = p.dim_v = 1;
  p.seq_q = static_cast<std::int64_t>(w.queries.size());
  p.seq_k = static_cast<std::int64_t>(w.keys.size());
  p.mode = p.seq_q == p.seq_k ? Mode::self : Mode::cross;
  p.scale = w.scale;
  p.causal = w.causal;
  return p;
}

InputTensors inputs_of(const Worked& w) {
  InputTensors in = draw_inputs(problem_of(w), "gaussian", 1);
  std::ranges::copy(w.queries, in.q.buffer().data());
  std::ranges::copy(w.keys, in.k.buffer().data());
  std::ranges::copy(w.values, in.v.buffer().data());
  return in;
}

/// The output rows on one thread; the variant's own definition must agree.
std::vector<float> answers(const std::string& name, const Worked& w, const AuxSet& aux = {},
                           const std::map<std::string, std::string>& given = {}) {
  const Variant& variant = named(name);
  const Problem problem = problem_of(w);
  ParamValues params = params_of(variant, given);
  auto completed = variant.complete_aux(problem, params, aux, 1);
  EXPECT_TRUE(completed) << (completed ? "" : completed.error().message);
  const InputTensors in = inputs_of(w);
  Tensor out({1, 1, problem.seq_q, 1}, Layout::bhnd);
  auto plan = variant.prepare(problem, params, *completed);
  Workspace workspace(variant.cost(problem, params, 1).workspace_bytes);
  kernels::ThreadArena arena(1);
  (*plan)->run(in.view(), out.view(), workspace, arena);
  const auto rows = all_rows(problem);
  const auto expected = variant.reference({problem, params, *completed, in.view(), rows});
  EXPECT_LE(compare_rows(out.view(), rows, expected).relative_l2, 1e-5);
  return {out.buffer().data(), out.buffer().data() + problem.seq_q};
}

/// Rows that the reference calls undecided.
std::vector<bool> undecided(const std::string& name, const Worked& w, const AuxSet& aux = {},
                            const std::map<std::string, std::string>& given = {}) {
  const Variant& variant = named(name);
  const Problem problem = problem_of(w);
  ParamValues params = params_of(variant, given);
  auto completed = variant.complete_aux(problem, params, aux, 1);
  EXPECT_TRUE(completed) << (completed ? "" : completed.error().message);
  const InputTensors in = inputs_of(w);
  const auto rows = all_rows(problem);
  return variant.reference({problem, params, *completed, in.view(), rows}).undecided;
}

std::string refusal(const std::string& name, const Problem& problem, AuxSet aux,
                    const std::map<std::string, std::string>& given = {}) {
  ParamValues params = params_of(named(name), given);
  auto completed = named(name).complete_aux(problem, params, std::move(aux), 1);
  return completed ? "accepted" : completed.error().message;
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

const double kE = std::exp(1.0);

/// tanh(0) = 0 and tanh(50) = 1: weights 1 / (1 + e) and e / (1 + e).
TEST(Additive, OneHiddenUnitByHand) {
  const AuxSet aux{{"Wq", tensor({1, 1}, {1})},
                   {"Wk", tensor({1, 1}, {1})},
                   {"v", tensor({1}, {1})},
                   {"b", tensor({1}, {0})}};
  const auto out = answers("additive", {{0}, {0, 50}, {1, 3}, {}}, aux);
  EXPECT_NEAR(out[0], (1 + 3 * kE) / (1 + kE), 1e-6);
}

/// The bias moves the first key to tanh(0.5), the query's own part the second to tanh(1.5).
TEST(Additive, BiasAndBothProjectionsByHand) {
  const AuxSet aux{{"Wq", tensor({1, 1}, {0.5F})},
                   {"Wk", tensor({1, 1}, {2})},
                   {"v", tensor({1}, {3})},
                   {"b", tensor({1}, {-0.5F})}};
  const auto out = answers("additive", {{2}, {0, 0.5F}, {1, 2}, {}}, aux);
  const double first = std::exp(3 * std::tanh(0.5)), second = std::exp(3 * std::tanh(1.5));
  EXPECT_NEAR(out[0], (first + 2 * second) / (first + second), 1e-6);
}

/// Keys and queries beyond what float32 powers of two can hold, of opposite sign: their sum
/// decides.
TEST(Additive, ProjectionsFarOutStillMeet) {
  const AuxSet aux{{"Wq", tensor({1, 1}, {1})},
                   {"Wk", tensor({1, 1}, {1})},
                   {"v", tensor({1}, {2})},
                   {"b", tensor({1}, {0})}};
  const kernels::ScopedOpCount count;
  const auto out = answers(
      "additive", {{-200, -30, 30, 64}, {200, 200.5F, -64, 0, 30}, {1, 2, 3, 4, 5}, {}}, aux);
  const double zero = 1, half = std::exp(2 * std::tanh(0.5)), low = std::exp(-2);
  EXPECT_NEAR(out[0], (zero + 2 * half + low * (3 + 4 + 5)) / (zero + half + 3 * low), 2e-5);
  const Cost cost = named("additive")
                        .cost(problem_of({{1, 2, 3, 4}, {1, 2, 3, 4, 5}, {}, {}}),
                              params_of(named("additive")), 1);
  EXPECT_GT(count.exps(), cost.exp_count) << "the way around powers of two was not taken";
}

/// Arguments of tanh whose 1 + E F has to be capped, and those of keys kept as exponents.
TEST(Additive, LargeWeightsMatchTheDefinition) {
  for (const std::string name : {"additive", "mlp"}) {
    for (const float factor : {8.0F, 60.0F}) {
      SCOPED_TRACE(name + ", weights times " + std::to_string(factor));
      Problem p;
      p.heads_q = p.heads_kv = 2;
      p.seq_q = p.seq_k = 70;
      p.dim_qk = p.dim_v = 8;
      ParamValues params = params_of(named(name));
      AuxSet aux = *named(name).complete_aux(p, params, {}, 1);
      for (const char* weight : {"Wq", "Wk", "W1"}) {
        if (!aux.contains(weight)) continue;
        for (float& x : aux.at(weight).values) x *= factor;
      }
      const VariantRun run = run_variant(named(name), p, params, 2, "gaussian", 1, aux);
      // Arguments of tanh up to 200 in float32: an absolute error of 200 * 2^-24 each.
      EXPECT_LE(definition_error(named(name), run), 1e-4);
    }
  }
}

TEST(Additive, GivenWeightsFixTheHiddenSize) {
  const Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  ParamValues params = params_of(named("additive"));
  const AuxSet given{{"Wk", tensor({5, 1}, {1, 2, 3, 4, 5})}};
  auto aux = named("additive").complete_aux(p, params, given, 1);
  ASSERT_TRUE(aux);
  EXPECT_EQ(params.text("hidden"), "5");
  EXPECT_EQ(aux->at("v").shape, (std::vector<std::int64_t>{5}));
  EXPECT_EQ(aux->at("b").values, (std::vector<float>(5, 0.0F)));
}

TEST(Additive, RefusesOtherShapes) {
  const Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  AuxSet aux{{"Wq", tensor({2, 1}, {1, 2})}, {"Wk", tensor({3, 1}, {1, 2, 3})}};
  expect_contains(refusal("additive", p, aux), "Wk is floating point [3, 1]");
  expect_contains(refusal("additive", p, aux), "[d_a, D] = [2, 1]");
  expect_contains(refusal("additive", p, {{"W", tensor({1}, {1})}}), "Wq, Wk, v, b");
  AuxTensor integers{{1}, {}, {1}, true};
  expect_contains(refusal("additive", p, {{"v", integers}}), "v is integer");
}

/// The first layer gives tanh(0) = 0 and tanh(5), the second tanh(0) = 0 and 1. The engine promises
/// tanh(0) within 1.2e-7 (falling_logistic()), which W2, w3 and the softmax make 1.0e-6.
TEST(Mlp, OneUnitPerLayerByHand) {
  const AuxSet aux{{"W1", tensor({1, 2}, {1, 1})},
                   {"b1", tensor({1}, {-1})},
                   {"W2", tensor({1, 1}, {20})},
                   {"b2", tensor({1}, {0})},
                   {"w3", tensor({1}, {2})}};
  const auto out = answers("mlp", {{1}, {0, 5}, {1, 3}, {}}, aux);
  EXPECT_NEAR(out[0], (1 + 3 * kE * kE) / (1 + kE * kE), 1.5e-6);
}

TEST(Mlp, RefusesOtherShapes) {
  const Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  const AuxSet aux{{"W1", tensor({3, 2}, std::vector<float>(6, 0))},
                   {"W2", tensor({2, 4}, std::vector<float>(8, 0))}};
  expect_contains(refusal("mlp", p, aux), "W2 is floating point [2, 4]");
  expect_contains(refusal("mlp", p, aux), "[d2, d1] = [2, 3]");
}

/// Logits 0 and ln 3, a third row of W cut off: weights 1/4 and 3/4.
TEST(Location, TwoRowsByHand) {
  const float ln3 = std::log(3.0F);
  const auto out =
      answers("location", {{1}, {NAN, NAN}, {1, 5}, {}}, {{"W", tensor({3, 1}, {0, ln3, 100})}});
  EXPECT_NEAR(out[0], 4, 1e-6);
}

TEST(Location, WithTheKeysAsRowsIsDot) {
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.seq_q = 40;
  p.seq_k = 90;
  p.dim_qk = p.dim_v = 16;
  p.mode = Mode::cross;
  const VariantRun dot = run_variant(named("dot"), p, params_of(named("dot")));
  AuxTensor w = tensor({90, 16}, {});
  w.values.assign(dot.inputs.k.buffer().span().begin(), dot.inputs.k.buffer().span().end());
  const VariantRun location =
      run_variant(named("location"), p, params_of(named("location")), 1, "gaussian", 1, {{"W", w}});
  EXPECT_LE(relative_difference(location.output, dot.output), 1e-7);
}

TEST(Location, RefusesCausalAndShortTables) {
  Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  expect_contains(refusal("location", p, {{"W", tensor({1, 1}, {1})}}), "at least Nk = 2");
  EXPECT_FALSE(named("location").unsupported_reason(p, params_of(named("location"))));
  p.causal = true;
  const auto reason = named("location").unsupported_reason(p, params_of(named("location")));
  ASSERT_TRUE(reason);
  expect_contains(*reason, "no causal form");
}

TEST(Hard, TakesTheLargestAndOfEqualsTheFirst) {
  EXPECT_EQ(answers("hard", {{1, -1}, {1, 3, 3, 2}, {10, 20, 30, 40}, {}}),
            (std::vector<float>{20, 10}));
  // The tie of equal keys is decided, that of nearly equal ones is not.
  EXPECT_EQ(undecided("hard", {{1}, {1, 3, 3, 2}, {1, 2, 3, 4}, {}}), std::vector<bool>{false});
  EXPECT_EQ(undecided("hard", {{1}, {1, 3, 3.000001F, 2}, {1, 2, 3, 4}, {}}),
            std::vector<bool>{true});
}

/// Logits 0 and ln 3: cumulated 1/4 and 1.
TEST(Hard, SamplesByTheInverseOfTheCumulatedSoftmax) {
  const float ln3 = std::log(3.0F);
  const Worked w{{1, 1, 1, 1}, {0, ln3}, {7, 8}, {}};
  const AuxSet u{{"u", tensor({1, 1, 4}, {0, 0.24F, 0.26F, 0.999F})}};
  EXPECT_EQ(answers("hard", w, u, {{"sample", "true"}}), (std::vector<float>{7, 7, 8, 8}));
  const AuxSet near{{"u", tensor({1, 1, 4}, {0.1F, 0.250001F, 0.5F, 1})}};
  EXPECT_EQ(undecided("hard", w, near, {{"sample", "true"}}),
            (std::vector<bool>{false, true, false, true}));
}

/// Over evenly spaced u the mean of the samples is the soft output, to within one spacing.
TEST(Hard, SamplesAreSoftInTheMean) {
  constexpr std::size_t kDraws = 4000, kKeys = 5000;
  Worked w{std::vector<float>(kDraws, 1.0F), {}, {}, {}};
  const CounterRng rng(3, "keys");
  double total = 0, soft = 0;
  for (std::size_t j = 0; j < kKeys; ++j) {
    w.keys.push_back(static_cast<float>(2 * rng.normal(j)));
    w.values.push_back(static_cast<float>(j) / kKeys);
    total += std::exp(static_cast<double>(w.keys[j]));
    soft += std::exp(static_cast<double>(w.keys[j])) * static_cast<double>(w.values[j]);
  }
  AuxTensor u = tensor({1, 1, kDraws}, {});
  for (std::size_t i = 0; i < kDraws; ++i) {
    u.values.push_back((static_cast<float>(i) + 0.5F) / kDraws);
  }
  double mean = 0;
  for (float x : answers("hard", w, {{"u", u}}, {{"sample", "true"}})) {
    mean += static_cast<double>(x) / kDraws;
  }
  EXPECT_NEAR(mean, soft / total, 1.0 / kDraws);
}

/// u = 1 is beyond every cumulated sum: rounding or not, the answer is a key that may be read.
TEST(Hard, TheEndOfTheDistributionIsTheLastKey) {
  Worked w{std::vector<float>(130, 1.0F), std::vector<float>(130, 0.0F), {}, {}};
  for (int j = 0; j < 130; ++j) w.values.push_back(static_cast<float>(j));
  w.causal = true;
  const AuxSet u{{"u", tensor({1, 1, 130}, std::vector<float>(130, 1.0F))}};
  const auto out = answers("hard", w, u, {{"sample", "true"}});
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], static_cast<float>(i));
}

TEST(Hard, RefusesWhatIsNoDraw) {
  const Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  const std::map<std::string, std::string> sample{{"sample", "true"}};
  expect_contains(refusal("hard", p, {{"u", tensor({1, 1, 1}, {0.5F})}}), "sample is false");
  expect_contains(refusal("hard", p, {{"u", tensor({1, 1, 1}, {1.5F})}}, sample), "outside [0, 1]");
  expect_contains(refusal("hard", p, {{"u", tensor({1, 1, 1}, {NAN})}}, sample), "outside [0, 1]");
  expect_contains(refusal("hard", p, {{"u", tensor({1, 2}, {0, 0})}}, sample), "[1, 1, 1]");
  EXPECT_EQ(refusal("hard", p, {{"u", tensor({1, 1, 1}, {0.5F})}}, sample), "accepted");
}

/// The largest is key 1; of the three equal ones after it key 0 is the first.
TEST(Topk, TakesExactlyKAndOfEqualsTheFirst) {
  const Worked w{{1}, {1, 2, 1, 1}, {10, 20, 30, 40}, {}};
  const auto out = answers("topk", w, {}, {{"k", "2"}});
  EXPECT_NEAR(out[0], (10 + 20 * kE) / (1 + kE), 1e-5);
  EXPECT_EQ(undecided("topk", w, {}, {{"k", "2"}}), std::vector<bool>{false});
  EXPECT_EQ(undecided("topk", {{1}, {1, 2, 1.000001F, 1}, {1, 2, 3, 4}, {}}, {}, {{"k", "2"}}),
            std::vector<bool>{true});
}

/// Lists that are cut back many times: all equal, ascending, descending and both signs of zero.
TEST(Topk, HoldsOnTiesAndSortedKeys) {
  constexpr int kKeys = 1500, kK = 16;
  Worked equal{{1}, std::vector<float>(kKeys, 0.5F), {}, {}};
  for (int j = 0; j < kKeys; ++j) equal.values.push_back(static_cast<float>(j));
  const std::map<std::string, std::string> k{{"k", std::to_string(kK)}};
  EXPECT_NEAR(answers("topk", equal, {}, k)[0], (kK - 1) / 2.0, 1e-5);
  Worked zeros = equal;
  for (int j = 0; j < kKeys; ++j)
    zeros.keys[static_cast<std::size_t>(j)] = j % 2 == 0 ? -0.0F : 0.0F;
  EXPECT_NEAR(answers("topk", zeros, {}, k)[0], (kK - 1) / 2.0, 1e-5);
  for (float slope : {0.01F, -0.01F}) {
    Worked sorted = equal;
    for (int j = 0; j < kKeys; ++j) {
      sorted.keys[static_cast<std::size_t>(j)] = slope * static_cast<float>(j - 300);
    }
    double total = 0, sum = 0;
    for (int t = 0; t < kK; ++t) {
      const double weight = std::exp(-0.01 * t);
      total += weight;
      sum += weight * (slope > 0 ? kKeys - 1 - t : t);
    }
    EXPECT_NEAR(answers("topk", sorted, {}, k)[0], sum / total, 2e-3);
  }
}

TEST(Topk, WithEveryKeyIsFullAndWithOneIsHard) {
  for (const Problem& problem : problem_grid()) {
    SCOPED_TRACE(problem_name(problem));
    const auto topk = [&](const char* k) {
      return run_variant(named("topk"), problem, params_of(named("topk"), {{"k", k}}));
    };
    const VariantRun full = run_variant(named("full"), problem, params_of(named("full")));
    EXPECT_LE(relative_difference(topk("1000").output, full.output), 3e-6);
    const VariantRun hard = run_variant(named("hard"), problem, params_of(named("hard")));
    EXPECT_EQ(relative_difference(topk("1").output, hard.output), 0);
  }
}

/// Equal logits, sigma = 1: row 2 of 5 weighs exp(-d^2 / 2) / 5, row 0 has three keys.
TEST(LocalM, EqualKeysByHand) {
  const auto out =
      answers("local-m", {std::vector<float>(5, 0), std::vector<float>(5, 1), {1, 1, 1, 1, 1}, {}},
              {}, {{"window", "2"}});
  const double one = std::exp(-0.5), two = std::exp(-2.0);
  EXPECT_NEAR(out[2], (1 + 2 * one + 2 * two) / 5, 1e-6);
  EXPECT_NEAR(out[0], (1 + one + two) / 3, 1e-6);
}

/// Distances up to the longer sequence, lanes of a tile that belong to several heads, and windows
/// that end anywhere in a tile.
TEST(LocalM, LooksUpEveryDistance) {
  for (const auto& [seq_q, seq_k] : {std::pair{70, 200}, std::pair{200, 70}}) {
    for (const std::string window : {"1", "33", "1000000000"}) {
      Problem p;
      p.heads_q = 3;
      p.heads_kv = 1;
      p.seq_q = seq_q;
      p.seq_k = seq_k;
      p.dim_qk = p.dim_v = 8;
      p.mode = Mode::cross;
      const VariantRun run =
          run_variant(named("local-m"), p, params_of(named("local-m"), {{"window", window}}));
      EXPECT_LE(definition_error(named("local-m"), run), 2e-6)
          << seq_q << " x " << seq_k << ", " << window;
    }
  }
}

/// vp = 0 predicts Nk / 2 = 2 for every query: keys 1 to 3, sigma = 1/2.
TEST(LocalP, TheMiddleByHand) {
  const AuxSet aux{{"Wp", tensor({1, 1}, {1})}, {"vp", tensor({1}, {0})}};
  const auto out =
      answers("local-p", {{1, 2}, {0, 0, 0, 0}, {1, 2, 3, 4}, {}}, aux, {{"window", "1"}});
  const double one = std::exp(-2.0);
  EXPECT_NEAR(out[0], (2 * one + 3 + 4 * one) / 3, 1e-5);
  EXPECT_NEAR(out[1], out[0], 1e-6);
}

/// sigmoid(10 tanh(+-50)) is within 5e-5 of 0 and 1: windows cut at both ends.
TEST(LocalP, BothEndsByHand) {
  const AuxSet aux{{"Wp", tensor({1, 1}, {50})}, {"vp", tensor({1}, {10})}};
  const auto out =
      answers("local-p", {{-1, 1}, {0, 0, 0, 0}, {1, 2, 3, 4}, {}}, aux, {{"window", "2"}});
  const double p = 4 / (1 + std::exp(10.0));
  const auto weight = [](double distance) { return std::exp(-distance * distance / 2); };
  EXPECT_NEAR(out[0], (weight(p) + 2 * weight(1 - p) + 3 * weight(2 - p)) / 3, 1e-5);
  // Key 2 is 2 - p away from 4 - p; key 4 does not exist.
  EXPECT_NEAR(out[1], (3 * weight(2 - p) + 4 * weight(1 - p)) / 2, 1e-5);
}

/// A float32 position would be off by 1e-3 here. Enough queries for several tiles in a block,
/// enough keys that the next tile's are fetched ahead.
TEST(LocalP, HoldsFarOutInALongSequence) {
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.seq_q = 1500;
  p.seq_k = 60000;
  p.dim_qk = p.dim_v = 16;
  p.mode = Mode::cross;
  const VariantRun run = run_variant(named("local-p"), p, params_of(named("local-p")));
  EXPECT_LE(definition_error(named("local-p"), run), 2e-6);
}

/// The last block of a head has so many queries less than the others that none are left for the
/// last that are predicted together.
TEST(LocalP, CountsAShorterLastBlock) {
  Problem p;
  p.heads_q = 5;
  p.heads_kv = 1;
  p.seq_q = 2017;
  p.seq_k = 40;
  p.dim_qk = p.dim_v = 16;
  p.mode = Mode::cross;
  const kernels::ScopedOpCount count;
  const VariantRun run = run_variant(named("local-p"), p, params_of(named("local-p")));
  EXPECT_EQ(count.flops(), run.cost.performed_flops);
  EXPECT_EQ(count.exps(), run.cost.exp_count);
}

TEST(LocalP, RefusesOtherShapes) {
  const Problem p = problem_of({{0}, {0, 1}, {1, 3}, {}});
  expect_contains(refusal("local-p", p, {{"Wp", tensor({2, 3}, std::vector<float>(6, 0))}}),
                  "[d_a, D] = [2, 1]");
}

}  // namespace
}  // namespace attnbench::testing
