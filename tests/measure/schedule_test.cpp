#include "measure/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace attnbench::measure {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(WaterFill, MeetsSmallNeedsAndSharesTheRest) {
  EXPECT_EQ(water_fill(std::vector<double>{1, 2, 3}, 10), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(water_fill(std::vector<double>{1, 8, 9}, 9), (std::vector<double>{1, 4, 4}));
  EXPECT_EQ(water_fill(std::vector<double>{5, 5}, 0), (std::vector<double>{0, 0}));
  EXPECT_EQ(water_fill(std::vector<double>{5, 5}, -1), (std::vector<double>{0, 0}));
  EXPECT_TRUE(water_fill({}, 3).empty());
  EXPECT_DOUBLE_EQ(sum(water_fill(std::vector<double>{3, 1, 4, 1, 5, 9, 2, 6}, 20)), 20);
}

TEST(SweepBudget, PassesOnWhatWasNotSpent) {
  SweepBudget budget(10, {{1, 5, 5}, {1, 5, 5}, {1, 5, 5}});
  const std::vector<std::size_t> first{0}, second{1}, both{0, 1};
  EXPECT_NEAR(budget.share_s(first, 0), 10.0 / 3, 1e-9);
  EXPECT_NEAR(budget.share_s(both, 0), 20.0 / 3, 1e-9);
  budget.settle(0);
  EXPECT_NEAR(budget.share_s(second, 1), 4.5, 1e-9);  // It spent 1 of its 3.3.
  EXPECT_NEAR(budget.share_s(second, 8), 1, 1e-9);    // It spent far too much.
  EXPECT_NEAR(budget.share_s(second, 12), 0, 1e-9);
}

TEST(SweepBudget, SharesASurplusInProportionToWhatIsWanted) {
  const SweepBudget budget(40, {{1, 5, 5}, {1, 15, 15}});
  const std::vector<std::size_t> first{0}, second{1};
  EXPECT_NEAR(budget.share_s(first, 0), 10, 1e-9);
  EXPECT_NEAR(budget.share_s(second, 0), 30, 1e-9);
  EXPECT_NEAR(budget.expected_left_s(0), 20, 1e-9);
  EXPECT_NEAR(budget.expected_left_s(35), 5, 1e-9);
}

TEST(SweepBudget, SpendsASurplusFirstWhereLittleTimeIsOfUse) {
  // Both want 5 s in all; the cheap one could use 4 s, the dear one 400.
  const SweepBudget budget(25, {{0.1, 1, 4}, {1, 4, 400}});
  const std::vector<std::size_t> cheap{0}, dear{1};
  EXPECT_NEAR(budget.share_s(cheap, 0), 4, 1e-9);
  EXPECT_NEAR(budget.share_s(dear, 0), 21, 1e-9);
  const SweepBudget plenty(808, {{0.1, 1, 4}, {1, 4, 400}});
  EXPECT_NEAR(plenty.share_s(cheap, 0), 8, 1e-9);
  EXPECT_NEAR(plenty.share_s(dear, 0), 800, 1e-9);
}

TEST(SweepBudget, RefusesTheDearestWhenNotAllFit) {
  SweepBudget budget(10, {{1, 2, 2}, {20, 40, 40}, {3, 6, 6}, {5, 9, 9}});
  EXPECT_TRUE(budget.affordable(0, 0));
  EXPECT_FALSE(budget.affordable(1, 0));
  EXPECT_TRUE(budget.affordable(2, 0));
  EXPECT_TRUE(budget.affordable(3, 0));   // 1 + 3 + 5 fit.
  EXPECT_FALSE(budget.affordable(3, 2));  // 8 s are left.
  budget.settle(2);
  EXPECT_TRUE(budget.affordable(3, 2));
  budget.revise(0, {7, 7, 7});
  EXPECT_TRUE(budget.affordable(3, 2));  // Only cheaper ones go first.
  EXPECT_FALSE(budget.affordable(0, 2));
}

/// A case of which every sample costs `cost_s` and scatters by `spread`.
struct FakeCase {
  double cost_s = 0.01;
  double spread = 0.01;
};

/// Samples a group on a simulated clock.
struct Simulation {
  Simulation(std::vector<FakeCase> cases_in, GroupSchedule::Limits limits, std::uint64_t seed = 5)
      : cases(std::move(cases_in)), schedule(limits, costs(cases), seed), random(seed) {}

  static std::vector<double> costs(const std::vector<FakeCase>& cases) {
    std::vector<double> result;
    for (const FakeCase& c : cases) result.push_back(c.cost_s);
    return result;
  }
  void run() {
    for (auto round = schedule.next_round(); !round.empty(); round = schedule.next_round()) {
      rounds.push_back(round);
      for (std::size_t i : round) {
        const double noise = std::normal_distribution<double>(0, cases[i].spread)(random);
        const double value = cases[i].cost_s * std::max(0.1, 1 + noise);
        clock_s += value;
        schedule.record(i, value, value);
      }
    }
  }
  std::size_t count(std::size_t i) const { return schedule.values(i).size(); }

  std::vector<FakeCase> cases;
  GroupSchedule schedule;
  std::mt19937_64 random;
  std::vector<std::vector<std::size_t>> rounds;
  double clock_s = 0;
};

TEST(GroupSchedule, StopsPreciseCasesEarlyAndLeavesTheTimeUnspent) {
  Simulation group({{0.01, 0.001}, {0.02, 0.001}}, {.time_s = 100});
  group.run();
  for (std::size_t i : {0U, 1U}) {
    EXPECT_EQ(group.schedule.state(i), Stop::precision);
    EXPECT_EQ(group.count(i), 7U);
  }
  EXPECT_LT(group.clock_s, 1);
  EXPECT_NEAR(group.schedule.spent_s(), group.clock_s, 1e-12);
}

TEST(GroupSchedule, SpendsTheTimeWhereIntervalsAreWide) {
  Simulation group({{0.01, 0.002}, {0.01, 0.10}, {0.01, 0.002}},
                   {.max_rounds = 10000, .time_s = 2});
  group.run();
  EXPECT_EQ(group.schedule.state(0), Stop::precision);
  EXPECT_EQ(group.schedule.state(2), Stop::precision);
  EXPECT_LT(group.count(0) + group.count(2), 30U);
  EXPECT_GT(group.count(1), 90U);
}

TEST(GroupSchedule, KeepsItsTimeWithCasesThatNeverBecomePrecise) {
  for (const double time_s : {0.5, 2.0, 8.0}) {
    Simulation group({{0.01, 0.5}, {0.05, 0.5}, {0.002, 0.5}},
                     {.max_rounds = 1000000, .time_s = time_s});
    group.run();
    EXPECT_LT(group.clock_s, time_s * 1.1) << time_s;
    EXPECT_GT(group.clock_s, time_s * 0.85) << time_s;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(group.schedule.state(i), Stop::budget);
  }
}

TEST(GroupSchedule, DoesNotLetASlowCaseTakeTheTimeOfFastOnes) {
  Simulation group({{1.0, 0.05}, {0.01, 0.05}, {0.01, 0.05}}, {.time_s = 6});
  group.run();
  EXPECT_LT(group.clock_s, 6.6);
  EXPECT_GE(group.count(1), 20U);
  EXPECT_GE(group.count(2), 20U);
  EXPECT_GE(group.count(0), 3U);
  EXPECT_EQ(group.schedule.state(0), Stop::budget);
  EXPECT_EQ(group.schedule.state(1), Stop::precision);
}

TEST(GroupSchedule, GivesEveryCaseOneSampleWhateverTheTime) {
  Simulation group({{5, 0.01}, {0.01, 0.01}}, {.time_s = 0.001});
  group.run();
  EXPECT_EQ(group.count(0), 1U);
  EXPECT_EQ(group.count(1), 1U);
  EXPECT_EQ(group.rounds.size(), 1U);
}

TEST(GroupSchedule, StopsAtTheLargestNumberOfRounds) {
  Simulation group({{0.001, 0.5}}, {.max_rounds = 25, .time_s = 1000});
  group.run();
  EXPECT_EQ(group.schedule.state(0), Stop::max_samples);
  EXPECT_EQ(group.count(0), 25U);
}

TEST(GroupSchedule, InterleavesAllCasesInChangingOrder) {
  Simulation group({{0.01, 0.05}, {0.01, 0.05}, {0.01, 0.05}, {0.01, 0.05}}, {.time_s = 100});
  group.run();
  std::set<std::vector<std::size_t>> orders;
  for (std::size_t r = 0; r < 7; ++r) {
    EXPECT_EQ(group.rounds[r].size(), 4U);
    orders.insert(group.rounds[r]);
  }
  EXPECT_GE(orders.size(), 4U);
}

TEST(GroupSchedule, LeavesOutWhatWasDropped) {
  GroupSchedule schedule({.time_s = 10}, {0.1, 0.1}, 1);
  EXPECT_EQ(schedule.next_round().size(), 2U);
  schedule.drop(0);
  schedule.record(1, 0.1, 0.1);
  EXPECT_EQ(schedule.next_round(), (std::vector<std::size_t>{1}));
}

TEST(GroupSchedule, LearnsThatThePilotWasWrong) {
  // The pilot said a millisecond; samples cost a hundred times as much.
  GroupSchedule schedule({.max_rounds = 1000, .time_s = 1}, {0.001}, 1);
  double clock_s = 0;
  std::mt19937_64 random(3);
  while (!schedule.next_round().empty()) {
    const double value = 0.1 * (1 + std::uniform_real_distribution<double>(-0.3, 0.3)(random));
    clock_s += value;
    schedule.record(0, value, value);
  }
  EXPECT_LT(clock_s, 1.15);
}

/// A sweep of growing problems: group g has cases of 4^g milliseconds.
double simulate_sweep(double budget_s, double spread, double prediction_off) {
  constexpr int kGroups = 5, kCases = 6;
  std::vector<CaseNeed> needs;
  for (int g = 0; g < kGroups; ++g) {
    for (int c = 0; c < kCases; ++c) {
      const double call = 1e-3 * std::pow(4, g) * (1 + 0.3 * c);
      needs.push_back(
          {2 * call * prediction_off, 15 * call * prediction_off, 60 * call * prediction_off});
    }
  }
  SweepBudget budget(budget_s, needs);
  double clock_s = 0;
  for (int g = 0; g < kGroups; ++g) {
    std::vector<std::size_t> indices;
    std::vector<FakeCase> cases;
    for (int c = 0; c < kCases; ++c) {
      const auto index = static_cast<std::size_t>(g * kCases + c);
      const double call = 1e-3 * std::pow(4, g) * (1 + 0.3 * c);
      budget.revise(index, {call, 15 * call, 60 * call});  // What the pilot found.
      indices.push_back(index);
      cases.push_back({std::max(call, 5e-3), spread});
    }
    Simulation group(cases, {.max_rounds = 100000, .time_s = budget.share_s(indices, clock_s)});
    group.run();
    clock_s += group.clock_s;
    for (std::size_t index : indices) budget.settle(index);
  }
  return clock_s;
}

TEST(Sweep, KeepsTheBudgetToATenthAndUsesIt) {
  for (const double budget_s : {20.0, 60.0}) {
    for (const double off : {0.3, 1.0, 3.0}) {
      const double spent_s = simulate_sweep(budget_s, 0.2, off);
      EXPECT_LT(spent_s, 1.1 * budget_s) << budget_s << " " << off;
      EXPECT_GT(spent_s, 0.9 * budget_s) << budget_s << " " << off;
    }
  }
}

TEST(Sweep, OfAQuietMachineEndsEarly) { EXPECT_LT(simulate_sweep(600, 0.002, 1.0), 60); }

}  // namespace
}  // namespace attnbench::measure
