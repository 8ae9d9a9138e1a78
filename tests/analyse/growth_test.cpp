#include "analyse/growth.h"

#include <gtest/gtest.h>

#include <functional>

#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::doubling;

GrowthInput input_of(const std::vector<double>& lengths, const std::function<double(double)>& value,
                     const std::string& declared = "", double noise = 0.005) {
  Random random(5);
  GrowthInput input;
  input.declared = declared;
  for (const double n : lengths) {
    const double off = noise * random.normal();
    input.points.push_back({.n = n, .value = value(n) * std::exp(off), .log_sd = noise});
  }
  return input;
}

void add_cost(GrowthInput& input, const std::string& name,
              const std::function<double(double)>& cost) {
  CostCurve curve{name, {}};
  for (const GrowthPoint& point : input.points) curve.values.push_back(cost(point.n));
  input.costs.push_back(curve);
}

double square(double n) { return 1e-4 + 1e-9 * n * n; }
double line(double n) { return 2e-5 + 1e-7 * n; }

TEST(Growth, DeclaresAndAgrees) {
  const Growth growth = analyse_growth(input_of(doubling(256, 7), square, "N^2"));
  EXPECT_EQ(growth.law, "N^2");
  EXPECT_GT(growth.law_weight, 0.95);
  EXPECT_EQ(growth.verdict, Verdict::agrees);
  EXPECT_NEAR(*growth.exponent, 2, 0.1);
  EXPECT_LT(growth.exponent_interval->low, *growth.exponent);
  EXPECT_GT(growth.exponent_interval->high, *growth.exponent);
  EXPECT_NEAR(growth.c, 1e-4, 3e-5);
  EXPECT_EQ(growth.local.size(), 6u);
  EXPECT_NEAR(growth.local.back().exponent, 2, 0.05);
  EXPECT_TRUE(growth.breaks.empty());
}

TEST(Growth, FasterAndSlowerThanDeclared) {
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), square, "N")).verdict, Verdict::slower);
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), line, "N^2")).verdict, Verdict::faster);
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), line, "1")).verdict, Verdict::slower);
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), line, "N")).verdict, Verdict::agrees);
}

TEST(Growth, SaysWhatAVerdictRestsOnThatIsNoAgreement) {
  const auto note_of = [](const GrowthInput& input) { return analyse_growth(input).note; };
  const std::string slower = note_of(input_of(doubling(256, 7), square, "N"));
  EXPECT_NE(slower.find("grows as N to the power of 1.9"), std::string::npos) << slower;
  EXPECT_EQ(slower.find("too wide"), std::string::npos) << slower;
  EXPECT_EQ(note_of(input_of(doubling(256, 7), square, "N^2")), "");
  GrowthInput wild = input_of(doubling(256, 5), square, "N^2", 0.3);
  add_cost(wild, "performed_flops", square);
  ASSERT_EQ(analyse_growth(wild).verdict, Verdict::undetermined);
  EXPECT_NE(note_of(wild).find("grows as the declared cost to the power of"), std::string::npos);
  EXPECT_NE(note_of(wild).find("too wide to tell"), std::string::npos) << note_of(wild);
}

TEST(Growth, TooFewLengthsOrTooNarrowARangeIsUndetermined) {
  const Growth few = analyse_growth(input_of({256, 1024, 4096, 16384}, square, "N^2", 0));
  EXPECT_EQ(few.law, "undetermined");
  EXPECT_EQ(few.verdict, Verdict::undetermined);
  EXPECT_NE(few.note.find("4 lengths"), std::string::npos) << few.note;
  EXPECT_TRUE(few.exponent) << "the exponent is still given";

  const Growth narrow =
      analyse_growth(input_of({256, 512, 1024, 1536, 2048, 3072, 4000}, square, "N^2", 0));
  EXPECT_EQ(narrow.law, "undetermined") << "a factor of 15.6";
  EXPECT_EQ(narrow.verdict, Verdict::undetermined);

  const Growth enough = analyse_growth(input_of({256, 512, 1024, 2048, 4096}, square, "N^2", 0));
  EXPECT_EQ(enough.law, "N^2") << enough.note;
  EXPECT_EQ(enough.verdict, Verdict::agrees);
}

TEST(Growth, DegenerateInputsHaveDefinedAnswers) {
  const Growth none = analyse_growth({});
  EXPECT_EQ(none.law, "undetermined");
  EXPECT_FALSE(none.exponent);
  const Growth one = analyse_growth(input_of({256}, square, "N^2"));
  EXPECT_FALSE(one.exponent);
  EXPECT_TRUE(one.local.empty());
  const Growth two = analyse_growth(input_of({256, 512}, line, "N"));
  EXPECT_TRUE(two.exponent);
  EXPECT_FALSE(two.exponent_interval);
  EXPECT_EQ(two.law_weight, 0);
}

TEST(Growth, AnUnknownOrMissingLawIsSaidAndNotJudged) {
  const Growth unknown = analyse_growth(input_of(doubling(256, 7), square, "N banana"));
  EXPECT_EQ(unknown.verdict, Verdict::undetermined);
  EXPECT_EQ(unknown.law, "N^2");
  EXPECT_NE(unknown.note.find("'N banana' is no growth law"), std::string::npos);
  const Growth missing = analyse_growth(input_of(doubling(256, 7), square));
  EXPECT_NE(missing.note.find("no growth law is declared"), std::string::npos);
}

TEST(Growth, ADeclaredLawJoinsTheCandidates) {
  const auto root = [](double n) { return 1e-6 * std::sqrt(n); };
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), root, "N^0.5")).law, "N^0.5");
  EXPECT_EQ(analyse_growth(input_of(doubling(256, 7), root, "N")).law, "undetermined");
}

// A window of 1024 keys: quadratic until it is reached, linear beyond. The free exponent is
// neither; the cost function knows.
TEST(Growth, AgreementIsJudgedOnTheCostFunction) {
  const auto window = [](double n) { return n * std::min(n, 1024.0); };
  GrowthInput input = input_of(
      doubling(256, 7), [&](double n) { return 1e-5 + 1e-9 * window(n); }, "N");
  EXPECT_NE(analyse_growth(input).verdict, Verdict::agrees) << "without it";
  add_cost(input, "performed_flops", [&](double n) { return 200 * window(n); });
  const Growth growth = analyse_growth(input);
  EXPECT_EQ(growth.verdict, Verdict::agrees) << growth.note;
  ASSERT_TRUE(growth.cost);
  EXPECT_NEAR(growth.cost->power, 1, 0.05);
  EXPECT_LT(growth.cost->residual_rms, 0.02);
  EXPECT_NEAR(growth.cost->last_exponent, 1, 1e-9);
  EXPECT_NE(growth.law, "N^2");
}

// A cost whose own growth settles at N only slowly.
TEST(Growth, ALawThatTheCostLooksLikeIsSaidToBeNone) {
  const auto flops = [](double n) { return n * std::log(n); };
  GrowthInput input = input_of(doubling(256, 7), flops, "N", 0.002);
  add_cost(input, "performed_flops", flops);
  const Growth growth = analyse_growth(input);
  EXPECT_EQ(growth.verdict, Verdict::agrees) << growth.note;
  EXPECT_EQ(growth.law, "N log N");
  EXPECT_NE(
      growth.note.find("grows as N at the longest lengths; over all of them N log N fits best"),
      std::string::npos)
      << growth.note;
  GrowthInput plain = input_of(
      doubling(256, 5), [](double n) { return n; }, "N");
  add_cost(plain, "performed_flops", [](double n) { return n; });
  EXPECT_EQ(analyse_growth(plain).note, "");
}

TEST(Growth, ACostThatDoesNotFollowTheLawExcusesNothing) {
  GrowthInput input = input_of(doubling(256, 7), square, "N");
  add_cost(input, "performed_flops", [](double n) { return n * n; });
  const Growth growth = analyse_growth(input);
  EXPECT_EQ(growth.cost->verdict, Verdict::agrees);
  EXPECT_EQ(growth.verdict, Verdict::slower);
  EXPECT_NE(growth.note.find("grows as N^2.00"), std::string::npos) << growth.note;
}

// What a thread keeps beside what grows with N: the law is that of the growing part.
TEST(Growth, AConstantPartOfTheCostHidesNoLaw) {
  const auto bytes = [](double n) { return 100000 + 12 * n + 100 * std::sqrt(n); };
  GrowthInput input = input_of(doubling(256, 7), bytes, "N", 0);
  add_cost(input, "workspace_model_bytes", bytes);
  const Growth growth = analyse_growth(input);
  EXPECT_LT(growth.cost->last_exponent, 0.7);
  EXPECT_NEAR(*growth.cost->last_growing_exponent, 1, 0.1);
  EXPECT_EQ(growth.verdict, Verdict::agrees) << growth.note;
}

TEST(Growth, TheCostWithTheSmallestResidualIsUsedAndUselessOnesAreNot) {
  GrowthInput input = input_of(doubling(256, 7), square, "N^2");
  add_cost(input, "flat", [](double) { return 7.0; });
  add_cost(input, "roofline_bound_s", [](double n) { return n * n * (n > 2000 ? 3 : 1); });
  add_cost(input, "performed_flops", [](double n) { return n * n; });
  input.costs.push_back({"short", {1, 2}});
  input.costs.push_back({"negative", std::vector<double>(7, -1)});
  EXPECT_EQ(analyse_growth(input).cost->column, "performed_flops");
  input.costs.resize(1);
  EXPECT_FALSE(analyse_growth(input).cost);
}

TEST(Growth, ABreakIsFoundWhereItIs) {
  const auto step = [](double n) { return 1e-9 * n * n * (n > 2000 ? 1.5 : 1); };
  const Growth growth = analyse_growth(input_of(doubling(256, 7), step, "N^2"));
  ASSERT_EQ(growth.breaks.size(), 1u);
  EXPECT_EQ(growth.breaks[0].n_low, 1024);
  EXPECT_EQ(growth.breaks[0].n_high, 2048);
  EXPECT_NEAR(growth.breaks[0].factor, 1.5, 0.15);
}

TEST(Growth, NoiseIsNoBreak) {
  for (const double noise : {0.02, 0.1}) {
    const Growth growth = analyse_growth(input_of(doubling(256, 7), square, "N^2", noise));
    EXPECT_TRUE(growth.breaks.empty()) << noise;
  }
}

TEST(Growth, ExactNumbersOfWorkspace) {
  const auto exact = [](const std::function<double(double)>& bytes, const std::string& declared) {
    return analyse_growth(input_of(doubling(256, 5), bytes, declared, 0));
  };
  const Growth full = exact([](double n) { return 4 * n * n + 8192; }, "N^2");
  EXPECT_EQ(full.law, "N^2");
  EXPECT_NEAR(*full.exponent, 2, 1e-3);
  EXPECT_EQ(full.verdict, Verdict::agrees);
  const Growth flash = exact([](double) { return 65536.0; }, "1");
  EXPECT_EQ(flash.law, "1") << flash.note;
  EXPECT_NEAR(*flash.exponent, 0, 1e-6);
  EXPECT_EQ(flash.verdict, Verdict::agrees);
  EXPECT_EQ(exact([](double n) { return 98304 + 512 * n; }, "1").verdict, Verdict::slower);
  EXPECT_EQ(exact([](double n) { return std::sqrt(n) * 64; }, "N^0.5").law, "N^0.5");
  EXPECT_EQ(exact([](double) { return 65536.0; }, "N").verdict, Verdict::faster);
}

TEST(Growth, CandidatesMakeUpTheWeight) {
  const Growth noisy = analyse_growth(input_of(
      doubling(256, 7), [](double n) { return n * std::log(n); }, "N log N", 0.3));
  EXPECT_GT(noisy.candidates().size(), 1u);
  EXPECT_LE(noisy.candidates().size(), noisy.ranking.size());
  const Growth clear = analyse_growth(input_of(doubling(256, 7), square, "N^2"));
  EXPECT_EQ(clear.candidates().size(), 1u);
}

}  // namespace
}  // namespace attnbench::analyse
