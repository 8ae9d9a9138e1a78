#include "analyse/law_ranking.h"

#include <gtest/gtest.h>

#include "analyse/growth.h"
#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::doubling;
using testing::Misfit;
using testing::simulate;

TEST(RankLaws, ExactSeriesGetTheirLaw) {
  Random random(1);
  for (const GrowthLaw& law : candidate_laws()) {
    for (const int lengths : {5, 7, 9}) {
      const auto points = simulate(law, doubling(128, lengths), 0.5, {.noise = 0}, random);
      const auto ranked = rank_laws(points, candidate_laws());
      EXPECT_EQ(ranked.front().law, law) << law.text();
      EXPECT_GT(ranked.front().weight, 0.999) << law.text() << " of " << lengths;
    }
  }
}

TEST(RankLaws, WeightsAreOfTheWholeAndSorted) {
  Random random(2);
  const auto points = simulate({1, 1}, doubling(256, 6), 0, {.noise = 0.05}, random);
  const auto ranked = rank_laws(points, candidate_laws());
  ASSERT_EQ(ranked.size(), 6u);
  double total = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    total += ranked[i].weight;
    if (i > 0) {
      EXPECT_LE(ranked[i].weight, ranked[i - 1].weight);
    }
  }
  EXPECT_NEAR(total, 1, 1e-12);
}

TEST(RankLaws, ALawWithoutGrowthDoesNotCompeteWithTheConstant) {
  Random random(3);
  const auto points = simulate({0, 0}, doubling(256, 8), 0, {.noise = 0.01}, random);
  const auto ranked = rank_laws(points, candidate_laws());
  EXPECT_EQ(ranked.front().law.text(), "1");
  EXPECT_GT(ranked.front().weight, 0.95);
  // But one that grows by little, and surely, is not called constant.
  const auto slow = simulate({1, 0}, doubling(256, 8), 1500, {.noise = 1e-4}, random);
  EXPECT_EQ(rank_laws(slow, candidate_laws()).front().law.text(), "N");
}

TEST(RankLaws, TooFewPointsRankNothing) {
  Random random(4);
  const auto points = simulate({1, 0}, doubling(256, 3), 0, {}, random);
  EXPECT_TRUE(rank_laws(std::span(points).first(2), candidate_laws()).empty());
  // Three points: the law 1 alone has a finite criterion only from four on.
  EXPECT_TRUE(rank_laws(points, candidate_laws()).empty());
}

struct Declared {
  double any = 0, wrong = 0, wrong_weight = 0;
};

Declared declared(const Misfit& misfit, int lengths, std::uint64_t seed) {
  constexpr int kSeries = 200;
  Random random(seed);
  Declared result;
  for (int i = 0; i < kSeries; ++i) {
    const GrowthLaw law = candidate_laws()[random.index(6)];
    GrowthInput input;
    for (const FitPoint& point :
         simulate(law, doubling(256, lengths), testing::random_intercept(random), misfit, random)) {
      input.points.push_back({.n = point.x, .value = point.y, .log_sd = point.log_sd});
    }
    const Growth growth = analyse_growth(input);
    const bool heavy = growth.law_weight > kDeclaredWeight;
    result.wrong_weight += (heavy && growth.ranking.front().law != law) / double{kSeries};
    if (growth.law == kUndetermined) continue;
    result.any += 1.0 / kSeries;
    result.wrong += (growth.law != law.text()) / double{kSeries};
  }
  return result;
}

// Stated thresholds: a wrong law is declared in at most 5% of the series of every kind, and over
// all kinds a wrong one has a weight above 0.95 in at most 5%.
TEST(RankLawsSimulation, WrongLawsAreRare) {
  const Misfit kinds[]{{.noise = 0.01},
                       {.noise = 0.05},
                       {.tile = 0.03},
                       {.tile = 0.06},
                       {.tile = 0.02, .step = 0.4},
                       {.tile = 0.02, .step = 0.2, .walk = 0.06}};
  double heavy = 0;
  int count = 0;
  for (const Misfit& kind : kinds) {
    for (const int lengths : {5, 7, 9}) {
      const Declared found = declared(kind, lengths, 21);
      EXPECT_LE(found.wrong, 0.05) << "noise " << kind.noise << " tile " << kind.tile << " step "
                                   << kind.step << " at " << lengths << " lengths";
      heavy += found.wrong_weight;
      ++count;
    }
  }
  EXPECT_LE(heavy / count, 0.05);
}

TEST(RankLawsSimulation, CleanSeriesAreDeclared) {
  EXPECT_GE(declared({.noise = 0.005}, 5, 22).any, 0.9);
  EXPECT_GE(declared({.noise = 0.02}, 7, 22).any, 0.9);
}

// Growth between the candidates is no candidate's: the ranking alone would name one.
TEST(RankLawsSimulation, GrowthOfNoCandidateIsRarelyNamed) {
  constexpr int kSeries = 100;
  Random random(23);
  int named = 0, heavy = 0;
  for (int i = 0; i < kSeries; ++i) {
    GrowthInput input;
    const double power = std::vector{0.5, 1.3, 2.5}[random.index(3)];
    for (const FitPoint& point :
         simulate({power, 0}, doubling(256, 7), 0, {.noise = 0.01}, random)) {
      input.points.push_back({.n = point.x, .value = point.y, .log_sd = point.log_sd});
    }
    const Growth growth = analyse_growth(input);
    named += growth.law != kUndetermined;
    heavy += growth.law_weight > kDeclaredWeight;
  }
  EXPECT_LE(named, 5);
  EXPECT_GE(heavy, 15) << "weights alone say nothing about fit, which is why the interval is asked";
}

}  // namespace
}  // namespace attnbench::analyse
