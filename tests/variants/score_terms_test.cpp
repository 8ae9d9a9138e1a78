// Positions, soft cap and sink in the kernels: identities that hold whatever the float64 reference
// says, and what variants refuse.
#include "attention/score_terms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "conformance.h"

namespace attnbench::testing {
namespace {

constexpr double kSame = 3e-6;  // Two float32 evaluations of one function on up to 300 keys.

Problem make(std::int64_t seq_q, std::int64_t seq_k, bool causal) {
  Problem p;
  p.heads_q = 4;
  p.heads_kv = 2;
  p.seq_q = seq_q;
  p.seq_k = seq_k;
  p.dim_qk = p.dim_v = 32;
  p.causal = causal;
  p.mode = seq_q == seq_k ? Mode::self : Mode::cross;
  return p;
}

Tensor output_of(const std::string& name, const Problem& problem,
                 const std::map<std::string, std::string>& params = {},
                 const std::string& input = "gaussian") {
  return run_variant(named(name), problem, params_of(named(name), params), 2, input).output;
}

const std::vector<std::string>& engines() {
  static const std::vector<std::string> names{
      "flash",   "full",     "local",    "sparse",   "longformer", "bigbird",
      "blocked", "dot",      "bilinear", "additive", "mlp",        "content",
      "topk",    "location", "local-m",  "local-p",  "mha"};
  return names;
}

TEST(ScoreTerms, AHighSoftcapAndASinkOfMinusInfinityAreNone) {
  for (const Problem& plain : {make(150, 150, true), make(2, 300, false)}) {
    for (const std::string& name : engines()) {
      SCOPED_TRACE(name);
      const Tensor expected = output_of(name, plain);
      Problem capped = plain, open = plain;
      capped.softcap = 1e7;
      open.sink.assign(4, -std::numeric_limits<float>::infinity());
      EXPECT_LE(relative_difference(output_of(name, capped), expected), kSame);
      // Learned scores add a constant that drops out of a softmax without a sink.
      EXPECT_LE(relative_difference(output_of(name, open), expected), 3e-7);
    }
  }
}

/// What no effect at all would pass: each of them changes the output.
TEST(ScoreTerms, EachChangesTheOutput) {
  const Problem plain = make(150, 150, true);
  for (const std::string& name : engines()) {
    SCOPED_TRACE(name);
    const Tensor expected = output_of(name, plain);
    Problem capped = plain, with_sink = plain;
    capped.softcap = 0.3;
    with_sink.sink.assign(4, 2.0F);
    EXPECT_GT(relative_difference(output_of(name, capped), expected), 1e-2);
    EXPECT_GT(relative_difference(output_of(name, with_sink), expected), 1e-2);
    for (const Position position : named(name).info().takes.positions) {
      Problem placed = plain;
      placed.position = position;
      EXPECT_GT(relative_difference(output_of(name, placed), expected), 1e-2)
          << to_string(position);
    }
  }
}

/// Neither the pairs nor the base of rope go unnoticed.
TEST(ScoreTerms, PairsAndBaseOfRopeChangeTheOutput) {
  Problem plain = make(150, 150, true);
  plain.position = Position::rope;
  Problem interleaved = plain, other = plain;
  interleaved.rope.interleaved = true;
  other.rope.base = 500000;
  for (const std::string name : {"flash", "full", "topk", "mha"}) {
    SCOPED_TRACE(name);
    const Tensor expected = output_of(name, plain);
    EXPECT_GT(relative_difference(output_of(name, interleaved), expected), 1e-2);
    EXPECT_GT(relative_difference(output_of(name, other), expected), 1e-2);
  }
}

/// A cap far below the logits leaves their signs: weights of e^c and e^-c.
TEST(ScoreTerms, SaturatedCapsLeaveSigns) {
  Problem p = make(1, 64, false);
  p.softcap = 2;
  InputTensors in = draw_inputs(p, "gaussian", 1);
  for (float& x : in.q.buffer().span()) x *= 1e6F;
  auto plan = named("flash").prepare(p, params_of(named("flash")), {});
  ASSERT_TRUE(plan);
  Tensor out({1, 4, 1, 32}, Layout::bhnd);
  Workspace workspace(named("flash").cost(p, params_of(named("flash")), 1).workspace_bytes);
  kernels::ThreadArena arena(1);
  (*plan)->run(in.view(), out.view(), workspace, arena);
  double total = 0, first = 0;
  for (std::int64_t j = 0; j < 64; ++j) {
    const double s = dot(in.q.view().row(0, 0, 0), in.k.view().row(0, 0, j), 32);
    const double weight = std::exp(s > 0 ? 2 : -2);
    total += weight;
    first += weight * static_cast<double>(in.v.view().at(0, 0, j, 0));
  }
  EXPECT_NEAR(static_cast<double>(out.view().at(0, 0, 0, 0)), first / total, 1e-5);
}

/// A sink of 0 is a further key of zeros with a value of zeros, put before the others.
TEST(ScoreTerms, ASinkOfZeroIsAZeroKeyAndValue) {
  for (const std::int64_t seq_q : {1, 100}) {
    Problem p = make(seq_q, 100, true);
    p.sink.assign(4, 0.0F);
    Problem longer = p;
    longer.sink.clear();
    longer.seq_k = 101;
    const InputTensors in = draw_inputs(p, "gaussian", 1);
    Tensor k({1, 2, 101, 32}, Layout::bhnd), v({1, 2, 101, 32}, Layout::bhnd);
    std::ranges::fill(k.buffer().span(), 0.0F);
    std::ranges::fill(v.buffer().span(), 0.0F);
    for (std::int64_t h = 0; h < 2; ++h) {
      for (std::int64_t j = 0; j < 100; ++j) {
        std::copy_n(in.k.view().row(0, h, j), 32, k.view().row(0, h, j + 1));
        std::copy_n(in.v.view().row(0, h, j), 32, v.view().row(0, h, j + 1));
      }
    }
    for (const std::string name : {"flash", "full"}) {
      const auto run = [&](const Problem& problem, const Inputs& inputs) {
        auto plan = named(name).prepare(problem, params_of(named(name)), {});
        Tensor out({1, 4, seq_q, 32}, Layout::bhnd);
        Workspace workspace(named(name).cost(problem, params_of(named(name)), 2).workspace_bytes);
        kernels::ThreadArena arena(2);
        (*plan)->run(inputs, out.view(), workspace, arena);
        return out;
      };
      EXPECT_LE(
          relative_difference(run(p, in.view()), run(longer, {in.q.view(), k.view(), v.view()})),
          kSame)
          << name;
    }
  }
}

/// Variants whose pattern covers all keys, each with its own way through them.
TEST(ScoreTerms, PatternsThatReadEveryKeyAgreeWithFlash) {
  const std::map<std::string, std::map<std::string, std::string>> wide{
      {"full", {}},
      {"local", {{"left", "-1"}, {"right", "-1"}}},
      {"sparse", {{"stride", "1"}}},
      {"longformer", {{"window", "1000"}, {"global", "3+50"}}},
      {"blocked", {{"block", "1000"}}}};
  for (const bool causal : {false, true}) {
    Problem p = make(120, 120, causal);
    p.softcap = 3;
    p.sink = draw_sink(4, 1);
    for (const Position position : {Position::sinusoidal, Position::rope, Position::alibi}) {
      p.position = position;
      const Tensor expected = output_of("flash", p);
      for (const auto& [name, params] : wide) {
        EXPECT_LE(relative_difference(output_of(name, p, params), expected), kSame)
            << name << " " << to_string(position);
      }
    }
  }
}

TEST(ScoreTerms, VariantsSayWhatTheyDoNotTake) {
  Problem p = make(64, 64, false);
  p.position = Position::rope;
  const Variant& performer = named("performer");
  EXPECT_EQ(performer.refusal(p, params_of(performer)).value_or(""),
            "performer does not take position rope (accepted: none)");
  const Variant& bilinear = named("bilinear");
  EXPECT_EQ(bilinear.refusal(p, params_of(bilinear)).value_or(""),
            "bilinear does not take position rope (accepted: none, sinusoidal, alibi)");
  p.position = Position::none;
  p.softcap = 1;
  EXPECT_EQ(performer.refusal(p, params_of(performer)).value_or(""),
            "performer does not take a softcap");
  p.softcap.reset();
  p.sink.assign(4, 0.0F);
  EXPECT_EQ(performer.refusal(p, params_of(performer)).value_or(""),
            "performer does not take a sink");
  p.sink.clear();
  EXPECT_FALSE(performer.refusal(p, params_of(performer)));
}

/// The workspace that copies of placed rows take grows with N.
TEST(ScoreTerms, PlacedRowsChangeTheLawOfTheWorkspace) {
  Problem p = make(64, 64, false);
  const Variant& flash = named("flash");
  EXPECT_EQ(flash.laws_on(p, params_of(flash)).workspace, "1");
  p.position = Position::alibi;
  EXPECT_EQ(flash.laws_on(p, params_of(flash)).workspace, "1");
  p.position = Position::rope;
  EXPECT_EQ(flash.laws_on(p, params_of(flash)).workspace, "N");
  EXPECT_EQ(named("full").laws_on(p, params_of(named("full"))).workspace, "N^2");
}

}  // namespace
}  // namespace attnbench::testing
