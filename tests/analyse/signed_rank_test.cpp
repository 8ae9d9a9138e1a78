#include "analyse/signed_rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "analyse/random.h"

namespace attnbench::analyse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

SignedRank rank_of(const std::vector<double>& values) { return SignedRank::make(values).value(); }

/// Every sign pattern of the ranks 1..count: the definition of the null distribution.
double brute_tail(int count, int statistic) {
  int reached = 0;
  for (int signs = 0; signs < 1 << count; ++signs) {
    int sum = 0;
    for (int rank = 1; rank <= count; ++rank) sum += (signs >> (rank - 1) & 1) * rank;
    reached += sum >= statistic;
  }
  return reached / std::ldexp(1.0, count);
}

TEST(SignedRankDistribution, AgreesWithEnumeration) {
  for (const int count : {1, 2, 5, 10}) {
    const SignedRankDistribution distribution(static_cast<std::size_t>(count));
    for (int t = 0; t <= count * (count + 1) / 2 + 1; ++t) {
      EXPECT_NEAR(distribution.at_least(static_cast<std::size_t>(t)), brute_tail(count, t), 1e-12)
          << count << " " << t;
    }
  }
}

TEST(SignedRankDistribution, AgreesWithPublishedCriticalValues) {
  // Hollander, Wolfe, Chicken, table A.4: P(T >= 37) = .049 at n = 9, P(T >= 152) = .0516 at 20.
  EXPECT_NEAR(SignedRankDistribution(9).at_least(37), 0.049, 5e-4);
  EXPECT_NEAR(SignedRankDistribution(20).at_least(150), 0.0487, 5e-4);
  EXPECT_EQ(SignedRankDistribution(9).critical(0.05), 37u);
}

TEST(SignedRankDistribution, TheNormalBeyondTheExactOnesJoinsThem) {
  const std::size_t n = SignedRankDistribution::kExactCount;
  const SignedRankDistribution exact(n), approximate(n + 1);
  EXPECT_NEAR(
      static_cast<double>(exact.critical(0.01)) / static_cast<double>(exact.maximum()),
      static_cast<double>(approximate.critical(0.01)) / static_cast<double>(approximate.maximum()),
      5e-4);
}

TEST(SignedRank, EstimateIsTheMedianOfWalshAverages) {
  // Averages of 1, 2, 6: 1, 1.5, 2, 3.5, 4, 6.
  EXPECT_DOUBLE_EQ(rank_of({6, 1, 2}).estimate(), 2.75);
}

TEST(SignedRank, FewValuesCanNeverReject) {
  // Six values reach 1/64 at best: a test at 1% is no test.
  const SignedRank rank = rank_of({5, 5.1, 5.2, 5.3, 5.4, 5.5});
  EXPECT_NEAR(rank.p_above(0), 1.0 / 64, 1e-12);
  EXPECT_EQ(rank.lower_bound(0.01), -kInfinity);
  EXPECT_EQ(rank.upper_bound(0.01), kInfinity);
  EXPECT_GT(rank.lower_bound(0.02), 0);
}

TEST(SignedRank, VerdictAndIntervalNeverDisagree) {
  Random random(7);
  for (int trial = 0; trial < 400; ++trial) {
    std::vector<double> values(5 + random.index(40));
    // Rounded, so that ties with each other and with the bound are common.
    for (double& value : values) value = std::round(4 * (random.normal() + 0.4)) / 8;
    const SignedRank rank = rank_of(values);
    const double bound = std::round(4 * random.uniform(-1, 1)) / 8;
    const double level = random.uniform(0.001, 0.2);
    EXPECT_EQ(rank.p_above(bound) <= level, rank.lower_bound(level) > bound);
    EXPECT_EQ(rank.p_below(bound) <= level, rank.upper_bound(level) < bound);
    EXPECT_LE(rank.lower_bound(0.3), rank.estimate());
    EXPECT_GE(rank.upper_bound(0.3), rank.estimate());
  }
}

TEST(SignedRank, TiesAndZerosCountAgainstARejection) {
  const std::vector<double> same(12, 0.25);
  const SignedRank rank = rank_of(same);
  EXPECT_EQ(rank.estimate(), 0.25);
  EXPECT_EQ(rank.lower_bound(0.05), 0.25);
  EXPECT_EQ(rank.upper_bound(0.05), 0.25);
  EXPECT_EQ(rank.p_above(0.25), 1);
  EXPECT_NEAR(rank.p_above(0.2), std::ldexp(1.0, -12), 1e-15);
  // A zero cannot make it more significant than leaving it at the least positive value does.
  EXPECT_GE(rank_of({0, 1, 2, 3}).p_above(0), rank_of({0.1, 1, 2, 3}).p_above(0));
}

TEST(SignedRank, RefusesWhatIsNoNumber) {
  EXPECT_FALSE(SignedRank::make(std::vector<double>{}));
  EXPECT_FALSE(SignedRank::make(std::vector<double>{1, std::nan("")}));
  EXPECT_FALSE(SignedRank::make(std::vector<double>{1, kInfinity}));
}

// Coverage of two-sided 95% intervals on normal data.
double coverage(std::size_t count, int trials) {
  Random random(11);
  int covered = 0;
  std::vector<double> values(count);
  for (int trial = 0; trial < trials; ++trial) {
    for (double& value : values) value = random.normal();
    const SignedRank rank = rank_of(values);
    covered += rank.lower_bound(0.025) <= 0 && rank.upper_bound(0.025) >= 0;
  }
  return static_cast<double>(covered) / trials;
}

TEST(SignedRankSimulation, IntervalsOf12And24LaunchesCover) {
  for (const std::size_t count : {12u, 24u}) {
    const double covered = coverage(count, 10000);
    EXPECT_GE(covered, 0.94) << count;
    EXPECT_LE(covered, 0.97) << count;
  }
}

/// The interval that other tools use: quantiles of resampled means.
bool bootstrap_covers(const std::vector<double>& values, Random& random) {
  constexpr int kResamples = 400;
  std::vector<double> means;
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < values.size(); ++k) sum += values[random.index(values.size())];
    means.push_back(sum / static_cast<double>(values.size()));
  }
  std::ranges::sort(means);
  return means[kResamples / 40] <= 0 && means[kResamples - 1 - kResamples / 40] >= 0;
}

TEST(SignedRankSimulation, ThePercentileBootstrapOfSevenValuesDoesNot) {
  Random random(13);
  int covered = 0;
  constexpr int kTrials = 4000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(7);
    for (double& value : values) value = random.normal();
    covered += bootstrap_covers(values, random);
  }
  const double share = static_cast<double>(covered) / kTrials;
  EXPECT_GE(share, 0.86);
  EXPECT_LE(share, 0.88);
}

}  // namespace
}  // namespace attnbench::analyse
