#include "measure/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

namespace attnbench::measure {
namespace {

std::vector<double> counting(int n) {
  std::vector<double> values;
  for (int i = 1; i <= n; ++i) values.push_back(i);
  return values;
}

TEST(MedianInterval, UsesTheOrderStatisticsOfTheBinomialTables) {
  // Ranks for 95% as tabulated for the sign test.
  const std::vector<std::pair<std::int64_t, std::int64_t>> table{
      {1, 0},  {5, 0},  {6, 1},  {8, 1},  {9, 2},   {11, 2},
      {12, 3}, {15, 4}, {20, 6}, {25, 8}, {50, 18}, {100, 40}};
  for (const auto& [count, rank] : table) EXPECT_EQ(interval_rank(count), rank) << count;
  EXPECT_EQ(interval_rank(7, 0.99), 0);
  EXPECT_EQ(interval_rank(8, 0.99), 1);
  EXPECT_EQ(interval_rank(0), 0);
}

TEST(MedianInterval, IsBetweenTheRightValues) {
  const MedianInterval odd = median_interval(counting(9));
  EXPECT_DOUBLE_EQ(odd.median, 5);
  EXPECT_DOUBLE_EQ(odd.low, 2);
  EXPECT_DOUBLE_EQ(odd.high, 8);
  EXPECT_DOUBLE_EQ(odd.minimum, 1);
  EXPECT_DOUBLE_EQ(odd.mad, 2);
  EXPECT_EQ(odd.count, 9);
  EXPECT_TRUE(odd.attained);
  EXPECT_DOUBLE_EQ(median_interval(counting(4)).median, 2.5);
}

TEST(MedianInterval, SaysWhenThereAreTooFewValues) {
  const MedianInterval five = median_interval(counting(5));
  EXPECT_FALSE(five.attained);
  EXPECT_DOUBLE_EQ(five.low, 1);
  EXPECT_DOUBLE_EQ(five.high, 5);
  EXPECT_TRUE(std::isinf(relative_half_width(five)));
  EXPECT_FALSE(median_interval({}).attained);
  EXPECT_TRUE(median_interval(counting(6)).attained);
}

TEST(MedianInterval, RefusesWhatIsNotFinite) {
  const std::vector<double> bad{1, 2, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THROW(median_interval(bad), std::invalid_argument);
  EXPECT_THROW(median_interval(std::vector<double>{1, INFINITY}), std::invalid_argument);
  EXPECT_THROW(median_interval(counting(9), 1.0), std::invalid_argument);
  EXPECT_THROW(median({}), std::invalid_argument);
}

TEST(MedianInterval, OfEqualValuesHasNoWidth) {
  const std::vector<double> same(10, 3.5);
  EXPECT_DOUBLE_EQ(relative_half_width(median_interval(same)), 0);
  EXPECT_DOUBLE_EQ(relative_half_width(median_interval(std::vector<double>(10, 0.0))), 0);
}

/// Times of a call on a shared machine: a floor, exponential delays, now and then a burst.
double skewed(std::mt19937_64& random) {
  const double delay = std::exponential_distribution<double>(1 / 0.04)(random);
  const bool burst = std::uniform_real_distribution<double>(0, 1)(random) < 0.1;
  return 1 + delay + (burst ? 0.3 : 0.0);
}

/// The median of skewed(), from a long run of another seed.
double true_median() {
  std::mt19937_64 random(99);
  std::vector<double> values;
  for (int i = 0; i < 400000; ++i) values.push_back(skewed(random));
  return median(values);
}

double order_statistic_coverage(int n, double truth) {
  constexpr int kRuns = 4000;
  std::mt19937_64 random(7);
  int hits = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> values;
    for (int i = 0; i < n; ++i) values.push_back(skewed(random));
    const MedianInterval interval = median_interval(values);
    hits += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  return static_cast<double>(hits) / kRuns;
}

TEST(MedianInterval, CoversTheMedianOfSkewedTimes) {
  const double truth = true_median();
  for (const int n : {7, 12, 25, 60}) {
    const double coverage = order_statistic_coverage(n, truth);
    // Exact coverage is at least 95% and, with so few order statistics to choose from, up to 98.5%.
    EXPECT_GT(coverage, 0.94) << n;
    EXPECT_LT(coverage, 0.995) << n;
  }
}

TEST(MedianInterval, BeatsTheNormalIntervalOnSkewedTimes) {
  // The interval that is not to be used: it is centred on the mean, which bursts pull away.
  const double truth = true_median();
  constexpr int kRuns = 4000, kCount = 60;
  std::mt19937_64 random(7);
  int hits = 0;
  for (int run = 0; run < kRuns; ++run) {
    double sum = 0, squares = 0;
    for (int i = 0; i < kCount; ++i) {
      const double value = skewed(random);
      sum += value;
      squares += value * value;
    }
    const double mean = sum / kCount;
    const double error = std::sqrt((squares / kCount - mean * mean) / (kCount - 1));
    hits += std::abs(mean - truth) <= 1.96 * error ? 1 : 0;
  }
  EXPECT_LT(static_cast<double>(hits) / kRuns, 0.5);
}

TEST(MedianInterval, KeepsMostOfItsCoverageUnderTheStoppingRule) {
  // Looking after every round and stopping at a narrow interval costs some coverage; the page on
  // measurement says how much.
  const StoppingRule rule({.target_relative_half_width = 0.02, .budget_s = 1e9});
  const double truth = true_median();
  constexpr int kRuns = 2000;
  std::mt19937_64 random(21);
  int hits = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> values;
    while (rule.decide(values, 0) == Stop::no) values.push_back(skewed(random));
    const MedianInterval interval = median_interval(values);
    hits += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  EXPECT_GT(static_cast<double>(hits) / kRuns, 0.90);
  EXPECT_LT(static_cast<double>(hits) / kRuns, 0.99);
}

TEST(StoppingRule, StopsOnPrecisionBudgetOrCount) {
  const StoppingRule rule(
      {.target_relative_half_width = 0.02, .budget_s = 1, .min_samples = 7, .max_samples = 20});
  const std::vector<double> tight(7, 1.0);
  EXPECT_EQ(rule.decide(std::vector<double>(6, 1.0), 0.5), Stop::no);
  EXPECT_EQ(rule.decide(tight, 0.5), Stop::precision);
  EXPECT_EQ(rule.decide(tight, 5), Stop::precision);
  std::vector<double> wide = counting(7);
  EXPECT_EQ(rule.decide(wide, 0.5), Stop::no);
  EXPECT_EQ(rule.decide(wide, 1.0), Stop::budget);
  EXPECT_EQ(rule.decide({}, 1.0), Stop::budget);
  wide = counting(20);
  EXPECT_EQ(rule.decide(wide, 0.5), Stop::max_samples);
}

TEST(StoppingRule, HoldsTheTargetExactly) {
  // Seven values: the interval is their range, 0.98 to 1.02 around 1: half of it is 2%.
  const std::vector<double> values{0.98, 0.99, 1.0, 1.0, 1.0, 1.01, 1.02};
  EXPECT_EQ(StoppingRule({.target_relative_half_width = 0.0201}).decide(values, 0),
            Stop::precision);
  EXPECT_EQ(StoppingRule({.target_relative_half_width = 0.0199}).decide(values, 0), Stop::no);
}

TEST(InnerIterations, MakeASampleLongEnough) {
  EXPECT_EQ(inner_iterations(1e-3, 5e-3, 1e-8), 5);
  EXPECT_EQ(inner_iterations(0.9e-3, 5e-3, 1e-8), 6);
  EXPECT_EQ(inner_iterations(1, 5e-3, 1e-8), 1);
  EXPECT_EQ(inner_iterations(1e-3, 5e-3, 1e-4), 100);  // A coarse clock: 1000 of its steps.
  EXPECT_GT(inner_iterations(0, 5e-3, 1e-8), 1000);
}

TEST(RoundOrder, LeavesOutTheStoppedAndDependsOnSeedAndRound) {
  const std::vector<Stop> state{Stop::no, Stop::precision, Stop::no, Stop::budget, Stop::no};
  std::set<std::vector<std::size_t>> orders;
  for (int round = 0; round < 40; ++round) {
    std::vector<std::size_t> order = round_order(state, 3, round);
    EXPECT_EQ(order, round_order(state, 3, round));
    orders.insert(order);
    std::ranges::sort(order);
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 2, 4}));
  }
  EXPECT_EQ(orders.size(), 6U);  // Every permutation comes up.
  EXPECT_TRUE(round_order(std::vector<Stop>{Stop::budget}, 3, 0).empty());
}

TEST(RoundOrder, PutsEveryCaseFirstEquallyOften) {
  const std::vector<Stop> state(4, Stop::no);
  std::vector<int> first(4, 0);
  for (int round = 0; round < 4000; ++round) ++first[round_order(state, 11, round)[0]];
  for (const int count : first) EXPECT_NEAR(count, 1000, 120);
}

}  // namespace
}  // namespace attnbench::measure
