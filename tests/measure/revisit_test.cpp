#include "measure/revisit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include "measure/policy.h"
#include "measure/schedule.h"

namespace attnbench::measure {
namespace {

/// `count` values around 1 whose interval has about this relative half width.
std::vector<double> values_of_width(double width, std::size_t count) {
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) {
    // Half of the values at either end: the interval goes from one to the other.
    values.push_back(i == 0 ? 1 : i % 2 == 0 ? 1 + width : 1 - width);
  }
  return values;
}

RevisitCase case_of(std::size_t batch, double width, double cost_s = 0.01, std::size_t count = 15) {
  return {batch, values_of_width(width, count), cost_s, 0};
}

std::vector<std::size_t> cases_in(const std::vector<Visit>& visits) {
  std::vector<std::size_t> all;
  for (const Visit& visit : visits) {
    all.insert(all.end(), visit.cases.begin(), visit.cases.end());
  }
  std::ranges::sort(all);
  return all;
}

double time_of(const std::vector<Visit>& visits, const std::vector<double>& batch_setup_s) {
  double sum = 0;
  for (const Visit& visit : visits) sum += visit.time_s + batch_setup_s[visit.batch];
  return sum;
}

TEST(PlanVisits, LeavesPreciseAndFinishedCasesAlone) {
  const std::vector<double> setup{0, 0};
  const std::vector<RevisitCase> precise{case_of(0, 0.01), case_of(1, 0.019)};
  EXPECT_TRUE(plan_visits(precise, setup, {.time_s = 100}).empty());
  EXPECT_TRUE(plan_visits({}, {}, {.time_s = 100}).empty());
  const std::vector<RevisitCase> finished{case_of(0, 0.3, 0.01, 200)};
  EXPECT_TRUE(plan_visits(finished, setup, {.time_s = 100}).empty());
  EXPECT_FALSE(plan_visits(finished, setup, {.max_rounds = 300, .time_s = 100}).empty());
}

TEST(PlanVisits, GoesToTheWidestFirst) {
  const std::vector<double> setup{0, 0, 0};
  const std::vector<RevisitCase> cases{case_of(0, 0.05), case_of(1, 0.2), case_of(2, 0.01)};
  const auto visits = plan_visits(cases, setup, {.time_s = 100});
  ASSERT_EQ(visits.size(), 2U);
  EXPECT_EQ(visits[0].batch, 1U);
  EXPECT_EQ(visits[1].batch, 0U);
  EXPECT_DOUBLE_EQ(visits[0].target_relative_half_width, 0.02);
  // More than is needed may be used, and no more than there is.
  EXPECT_NEAR(time_of(visits, setup), 100, 1e-6);
}

TEST(PlanVisits, ShortOfTimeBringsTheWidestDownToOneLevel) {
  const std::vector<double> setup{0, 0, 0};
  // To 0.02, the first two would take 15 * 3 rounds each; there is time for 20 in all.
  const std::vector<RevisitCase> cases{case_of(0, 0.20), case_of(1, 0.10), case_of(2, 0.04)};
  const auto visits = plan_visits(cases, setup, {.time_s = 0.2});
  ASSERT_EQ(visits.size(), 1U);
  EXPECT_EQ(visits[0].cases, (std::vector<std::size_t>{0}));
  EXPECT_LT(visits[0].target_relative_half_width, 0.15);
  EXPECT_GE(visits[0].target_relative_half_width, 0.10);
  EXPECT_LE(time_of(visits, setup), 0.2 + 1e-9);
}

TEST(PlanVisits, CountsSettingUp) {
  const std::vector<RevisitCase> cases{case_of(0, 0.3), case_of(1, 0.1)};
  const std::vector<double> setup{50, 0.1};
  // The widest belongs to inputs that take longer to draw than there is time.
  const auto visits = plan_visits(cases, setup, {.time_s = 10});
  EXPECT_EQ(cases_in(visits), (std::vector<std::size_t>{1}));
  EXPECT_LE(time_of(visits, setup), 10 + 1e-9);
  EXPECT_EQ(cases_in(plan_visits(cases, setup, {.time_s = 60})), (std::vector<std::size_t>{0, 1}));
  EXPECT_TRUE(plan_visits(cases, setup, {.time_s = 0.05}).empty());
}

TEST(PlanVisits, CompletesIntervalsOfTooFewRoundsOrLeavesThem) {
  const std::vector<double> setup{0, 0};
  // Without an interval: 4 more rounds of a second, or of a hundred seconds.
  const std::vector<RevisitCase> cases{case_of(0, 0.01, 1, 3), case_of(1, 0.01, 100, 3)};
  const auto visits = plan_visits(cases, setup, {.time_s = 150});
  ASSERT_EQ(cases_in(visits), (std::vector<std::size_t>{0}));
  EXPECT_GE(visits[0].time_s, 4);
  EXPECT_EQ(cases_in(plan_visits(cases, setup, {.time_s = 450})), (std::vector<std::size_t>{0, 1}));
}

TEST(PlanVisits, KeepsCasesOfABatchTogether) {
  const std::vector<double> setup{0.1, 0.1};
  const std::vector<RevisitCase> cases{case_of(0, 0.3), case_of(1, 0.3), case_of(0, 0.3)};
  const auto visits = plan_visits(cases, setup, {.time_s = 100});
  ASSERT_EQ(visits.size(), 2U);
  EXPECT_EQ(visits[0].cases, (std::vector<std::size_t>{0, 2}));
}

/// A case that costs `cost_s` a sample and scatters by `spread`.
struct NoisyCase {
  double cost_s = 0.01;
  double spread = 0.01;
};
using Group = std::vector<NoisyCase>;

/// A sweep on a simulated clock, with the rules of the runner.
class SimulatedSweep {
 public:
  SimulatedSweep(std::vector<Group> groups, double budget_s, std::uint64_t seed = 7)
      : groups_(std::move(groups)), budget_s_(budget_s), random_(seed) {
    std::vector<CaseNeed> needs;
    for (const Group& group : groups_) {
      for (const NoisyCase& c : group) {
        needs.push_back({2 * c.cost_s, 15 * c.cost_s, 60 * c.cost_s});
      }
    }
    SweepBudget budget(budget_s, needs);
    std::size_t index = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      std::vector<std::size_t> indices;
      for (const NoisyCase& c : groups_[g]) {
        cases_.push_back({g, {}, c.cost_s, kSetup_s});
        noise_.push_back(c.spread);
        indices.push_back(index++);
      }
      clock_s_ += kSetup_s;
      sample(indices, budget.share_s(indices, clock_s_), kTarget);
      for (const std::size_t i : indices) budget.settle(i);
    }
  }

  /// The final phase, as spend_what_is_left() does it.
  void spend_what_is_left() {
    const std::vector<double> setup_s(groups_.size(), kSetup_s);
    while (budget_s_ - clock_s_ >= 0.02 * budget_s_) {
      const auto visits = plan_visits(
          cases_, setup_s, {.target_relative_half_width = kTarget, .time_s = budget_s_ - clock_s_});
      if (visits.empty()) return;
      for (const Visit& visit : visits) {
        clock_s_ += kSetup_s * static_cast<double>(1 + visit.cases.size());
        sample(visit.cases, std::min(visit.time_s, budget_s_ - clock_s_),
               visit.target_relative_half_width);
      }
    }
  }

  double clock_s() const { return clock_s_; }
  double worst_width() const {
    double worst = 0;
    for (const RevisitCase& c : cases_) {
      worst = std::max(worst, relative_half_width(median_interval(c.values)));
    }
    return worst;
  }
  /// Whether a case's interval holds its true median.
  bool covers(std::size_t i) const {
    const MedianInterval interval = median_interval(cases_[i].values);
    return interval.low <= cases_[i].sample_cost_s && cases_[i].sample_cost_s <= interval.high;
  }
  std::size_t rounds(std::size_t i) const { return cases_[i].values.size(); }

 private:
  static constexpr double kTarget = 0.02;
  static constexpr double kSetup_s = 0.05;

  void sample(const std::vector<std::size_t>& indices, double time_s, double target) {
    EarlierRounds earlier;
    std::vector<double> costs;
    for (const std::size_t i : indices) {
      earlier.values.push_back(cases_[i].values);
      costs.push_back(cases_[i].sample_cost_s);
    }
    GroupSchedule schedule({.target_relative_half_width = target, .time_s = time_s}, costs, 3,
                           earlier);
    for (auto round = schedule.next_round(); !round.empty(); round = schedule.next_round()) {
      for (const std::size_t at : round) {
        RevisitCase& c = cases_[indices[at]];
        const double noise = std::normal_distribution<double>(0, noise_[indices[at]])(random_);
        const double value = c.sample_cost_s * std::max(0.1, 1 + noise);
        c.values.push_back(value);
        clock_s_ += value;
        schedule.record(at, value, value);
      }
    }
  }

  std::vector<Group> groups_;
  double budget_s_;
  std::vector<RevisitCase> cases_;
  std::vector<double> noise_;
  std::mt19937_64 random_;
  double clock_s_ = 0;
};

// Noisy cases come first, quiet ones last: what the quiet ones leave cannot go to the noisy ones of
// other groups any more, unless they are returned to.
std::vector<Group> noisy_then_quiet() {
  return {{{0.02, 0.2}, {0.02, 0.002}}, {{0.05, 0.15}}, {{0.4, 0.002}, {0.5, 0.003}}};
}

TEST(FinalPhase, KeepsTheBudgetToATenthAndNarrowsTheWorstInterval) {
  for (const double budget_s : {14.0, 17.0, 20.0}) {
    SimulatedSweep sweep(noisy_then_quiet(), budget_s);
    const double before_s = sweep.clock_s(), before = sweep.worst_width();
    ASSERT_LT(before_s, 0.85 * budget_s) << "nothing would be left for the phase";
    sweep.spend_what_is_left();
    EXPECT_LE(sweep.clock_s(), 1.1 * budget_s) << budget_s;
    EXPECT_GE(sweep.clock_s(), 0.9 * budget_s) << budget_s;
    EXPECT_LE(sweep.worst_width(), 0.8 * before) << budget_s;
  }
}

TEST(FinalPhase, LeavesPreciseCasesAsTheyAre) {
  SimulatedSweep sweep(noisy_then_quiet(), 20);
  const std::size_t quiet = sweep.rounds(1), noisy = sweep.rounds(0);
  sweep.spend_what_is_left();
  EXPECT_EQ(sweep.rounds(1), quiet);
  EXPECT_GT(sweep.rounds(0), noisy);
}

TEST(FinalPhase, EndsWhenEverythingIsPrecise) {
  SimulatedSweep sweep({{{0.02, 0.03}}, {{0.1, 0.002}}}, 500);
  const double before_s = sweep.clock_s();
  sweep.spend_what_is_left();
  EXPECT_LE(sweep.worst_width(), 0.02);
  EXPECT_LT(sweep.clock_s(), before_s + 20);
}

// Stated threshold: 92% of the nominal 95% intervals hold the median after the phase, although it
// chooses what to measure further by the widths so far and stops on them.
TEST(FinalPhase, LeavesTheIntervalsTheirCoverage) {
  constexpr std::uint64_t kRuns = 150;
  int covered = 0, intervals = 0;
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    SimulatedSweep sweep(noisy_then_quiet(), 20, seed);
    sweep.spend_what_is_left();
    for (const std::size_t noisy : {0U, 2U}) {
      ++intervals;
      covered += sweep.covers(noisy) ? 1 : 0;
    }
  }
  EXPECT_GE(covered, intervals * 92 / 100) << covered << " of " << intervals;
}

TEST(GroupSchedule, GoesOnFromEarlierRounds) {
  GroupSchedule schedule({.max_rounds = 20, .time_s = 100}, {0.01, 0.01}, 1,
                         {{values_of_width(0.5, 15), values_of_width(0.01, 15)}, 16});
  EXPECT_EQ(schedule.rounds(), 16);
  ASSERT_EQ(schedule.next_round().size(), 2U);
  EXPECT_EQ(schedule.rounds(), 17);
  for (const std::size_t i : {0U, 1U}) schedule.record(i, 1.0, 0.01);
  EXPECT_EQ(schedule.values(0).size(), 16U);
  EXPECT_EQ(schedule.state(1), Stop::precision);
  EXPECT_EQ(schedule.state(0), Stop::no);
  EXPECT_DOUBLE_EQ(schedule.sample_cost_s(0), 0.01);
  while (!schedule.next_round().empty()) schedule.record(0, 1.5, 0.01);
  EXPECT_EQ(schedule.state(0), Stop::max_samples);
  EXPECT_EQ(schedule.values(0).size(), 20U);
}

std::vector<double> lognormal(double median, double spread, std::size_t count,
                              std::mt19937_64& random) {
  std::vector<double> values;
  std::normal_distribution<double> normal(0, spread);
  for (std::size_t i = 0; i < count; ++i) values.push_back(median * std::exp(normal(random)));
  return values;
}

TEST(PooledInterval, OfOneVisitIsThePlainOne) {
  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<std::size_t> one{8};
  const PooledInterval pooled = pooled_interval(values, one);
  const MedianInterval plain = median_interval(values);
  EXPECT_EQ(pooled.interval.low, plain.low);
  EXPECT_EQ(pooled.interval.high, plain.high);
  EXPECT_FALSE(pooled.visits_differ);
}

TEST(PooledInterval, RefusesSizesThatAreNotThoseOfTheValues) {
  const std::vector<double> values{1, 2, 3};
  const std::vector<std::size_t> few{2}, many{2, 2};
  EXPECT_THROW(pooled_interval(values, few), std::invalid_argument);
  EXPECT_THROW(pooled_interval(values, many), std::invalid_argument);
}

TEST(PooledInterval, HasBothVisitsWhereTheyDiffer) {
  std::vector<double> values{1.00, 1.01, 0.99, 1.00, 1.02, 0.98, 1.0};
  const std::vector<double> later{1.20, 1.21, 1.19, 1.22, 1.18, 1.20, 1.2, 1.2, 1.2, 1.2, 1.2};
  values.insert(values.end(), later.begin(), later.end());
  const std::vector<std::size_t> sizes{7, 11};
  const PooledInterval pooled = pooled_interval(values, sizes);
  EXPECT_TRUE(pooled.visits_differ);
  EXPECT_NEAR(pooled.ratio, 1.2, 1e-9);
  EXPECT_LE(pooled.interval.low, 1.0);
  EXPECT_GE(pooled.interval.high, 1.2);
  // Three rounds have no interval of their own: nothing can be said against them.
  const std::vector<std::size_t> short_visit{3, 15};
  EXPECT_FALSE(pooled_interval(values, short_visit).visits_differ);
}

// Stated thresholds: of the same machine, at most 2% of pooled rows are said to differ, and the
// intervals cover as ever (93%); of a machine that is 10% slower at the second visit, at least 99%
// are found out, and the interval then has the medians of both times.
TEST(PooledInterval, TellsAChangedMachineFromNoise) {
  constexpr int kRuns = 1000;
  const std::vector<std::size_t> sizes{15, 30};
  std::mt19937_64 random(11);
  int differ = 0, covered = 0, found = 0, both = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto pool = [&](double later_median) {
      std::vector<double> values = lognormal(1, 0.03, 15, random);
      const auto later = lognormal(later_median, 0.03, 30, random);
      values.insert(values.end(), later.begin(), later.end());
      return pooled_interval(values, sizes);
    };
    const PooledInterval same = pool(1);
    differ += same.visits_differ ? 1 : 0;
    covered += same.interval.low <= 1 && 1 <= same.interval.high ? 1 : 0;
    const PooledInterval changed = pool(1.1);
    found += changed.visits_differ ? 1 : 0;
    both += changed.interval.high - changed.interval.low > 0.05 ? 1 : 0;
  }
  EXPECT_LE(differ, kRuns * 2 / 100);
  EXPECT_GE(covered, kRuns * 93 / 100);
  EXPECT_GE(found, kRuns * 99 / 100);
  EXPECT_GE(both, kRuns * 99 / 100);
}

}  // namespace
}  // namespace attnbench::measure
