// The end of a sweep, on a simulated clock: what is left of the budget goes to wide intervals.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "record/example.h"
#include "record/reader.h"
#include "record/run_directory.h"
#include "run/fake_variants.h"
#include "run/simulated_clock.h"

namespace attnbench::run_test {
namespace {

/// Between -1 and 1, the same for the same call.
double noise(int call) { return std::sin(12.9898 * call) * std::cos(78.233 * call * call); }

std::function<double(int)> scattering(double call_s, double spread) {
  return [=](int call) { return call_s * (1 + spread * noise(call)); };
}

double relative_half_width(const Record& row) {
  if (!row.time_ci_low_s) return 1e9;
  return (*row.time_ci_high_s - *row.time_ci_low_s) / 2 / *row.time_median_s;
}

/// Rows by variant, later deliveries in place of earlier ones; samples of all.
struct Kept {
  std::map<std::string, Record> first, last;
  std::map<std::string, std::vector<SampleRow>> samples;
  std::vector<SampleRow> in_order;
  RunOutcome outcome;

  double worst(const std::map<std::string, Record>& rows) const {
    double worst = 0;
    for (const auto& [name, row] : rows) worst = std::max(worst, relative_half_width(row));
    return worst;
  }
};

Kept sweep(const SweepPlan& plan, RunOptions options) {
  const SimulatedClock clock;
  Kept kept;
  std::map<std::string, std::string> names;
  options.finished = [&](const std::vector<Record>& rows, const std::vector<SampleRow>& samples) {
    for (const Record& row : rows) {
      kept.first.emplace(row.axes.variant, row);
      kept.last[row.axes.variant] = row;
      names[row.axes.case_id()] = row.axes.variant;
    }
    for (const SampleRow& sample : samples) {
      kept.samples[names.at(sample.case_id)].push_back(sample);
      kept.in_order.push_back(sample);
    }
  };
  kept.outcome = run_sweep(plan, Ceilings{}, options);
  return kept;
}

RunOptions options_of(double budget_s) {
  RunOptions options;
  options.run_id = "test";
  options.config.target_ci = 0.02;
  options.config.budget_s = budget_s;
  options.config.max_samples = 200;
  return options;
}

/// Wide cases in the first two groups, and quiet ones that were expected to take long in the last.
class FinalPhase : public ::testing::Test {
 protected:
  SweepPlan plan() const {
    std::vector<Case> cases{make_case(wide_, 0),       make_case(calm_, 0),
                            make_case(wider_, 0),      make_case(other_, 1, 1, 5),
                            make_case(slow_, 2, 1, 6), make_case(last_, 2, 1, 6)};
    for (Case& spec : cases) spec.predicted_time_s = spec.group == 2 ? 0.5 : 0.02;
    return make_sweep(std::move(cases));
  }

  const FakeVariant wide_{"wide", {.call_s = scattering(0.02, 0.5)}};
  const FakeVariant calm_{"calm", {.call_s = scattering(0.02, 0.001)}};
  FakeVariant wider_{"wider", {.call_s = scattering(0.03, 0.8)}};
  const FakeVariant other_{"other", {.call_s = scattering(0.05, 0.5)}};
  const FakeVariant slow_{"slow", {.call_s = scattering(0.5, 0.001)}};
  const FakeVariant last_{"last", {.call_s = scattering(0.6, 0.001)}};
};

TEST_F(FinalPhase, KeepsTheBudgetToATenthAndNarrowsTheWorstInterval) {
  for (const double budget_s : {15.0, 18.0, 22.0}) {
    const Kept got = sweep(plan(), options_of(budget_s));
    EXPECT_GE(got.outcome.visits, 2) << budget_s;
    EXPECT_EQ(got.outcome.ok, 6) << budget_s;
    EXPECT_LE(got.outcome.wall_s, 1.1 * budget_s);
    EXPECT_GE(got.outcome.wall_s, 0.9 * budget_s);
    EXPECT_LE(got.worst(got.last), 0.8 * got.worst(got.first)) << budget_s;
  }
}

TEST_F(FinalPhase, AddsRoundsAndLosesNone) {
  const Kept got = sweep(plan(), options_of(18));
  EXPECT_EQ(got.last.at("calm").samples, got.first.at("calm").samples);
  for (const auto& [name, row] : got.last) {
    const auto& samples = got.samples.at(name);
    EXPECT_EQ(row.samples, static_cast<std::int64_t>(samples.size())) << name;
    EXPECT_TRUE(std::ranges::is_sorted(samples, std::less<>{}, &SampleRow::round)) << name;
    std::set<int> rounds;
    std::vector<double> times;
    for (const SampleRow& sample : samples) {
      rounds.insert(sample.round);
      times.push_back(sample.time_s);
    }
    EXPECT_EQ(rounds.size(), samples.size()) << name << ": one sample a round";
    std::ranges::sort(times);
    EXPECT_DOUBLE_EQ(*row.time_min_s, times.front()) << name << ": of all visits";
    EXPECT_TRUE(row.definition_rel_l2.has_value()) << name;
  }
  EXPECT_GT(got.last.at("wider").samples, got.first.at("wider").samples);
  EXPECT_TRUE(std::ranges::is_sorted(got.in_order, std::less<>{}, &SampleRow::start_s));
}

TEST_F(FinalPhase, InterleavesTheRoundsOfAVisitInRandomOrder) {
  const Kept got = sweep(plan(), options_of(22));
  const auto first = [&](const char* name) {
    return static_cast<std::size_t>(got.first.at(name).samples);
  };
  const auto& wide = got.samples.at("wide");
  const auto& wider = got.samples.at("wider");
  ASSERT_GT(wide.size(), first("wide"));
  std::map<int, int> order_of_wider;
  for (std::size_t i = first("wider"); i < wider.size(); ++i) {
    order_of_wider[wider[i].round] = wider[i].order;
  }
  int shared = 0;
  std::set<int> orders;
  for (std::size_t i = first("wide"); i < wide.size(); ++i) {
    const auto found = order_of_wider.find(wide[i].round);
    if (found == order_of_wider.end()) continue;
    ++shared;
    EXPECT_NE(found->second, wide[i].order);
    orders.insert(wide[i].order);
  }
  EXPECT_GE(shared, 5);
  EXPECT_EQ(orders, (std::set<int>{0, 1}));
  // The gap that tells the visits apart.
  EXPECT_GE(wide[first("wide")].round, wide[first("wide") - 1].round + 2);
}

TEST_F(FinalPhase, LeavesOutWhatAnEarlierRunMeasured) {
  const Kept whole = sweep(plan(), options_of(18));
  RunOptions options = options_of(18);
  for (const char* name : {"wide", "wider"}) {
    options.done_case_ids.push_back(whole.last.at(name).axes.case_id());
  }
  const int calls = wide_.calls();
  const Kept rest = sweep(plan(), options);
  EXPECT_EQ(rest.last.size(), 4U);
  EXPECT_EQ(wide_.calls(), calls);
}

TEST_F(FinalPhase, KeepsWhatWasMeasuredWhenInterrupted) {
  std::atomic<bool> stop{false};
  RunOptions options = options_of(22);
  options.interrupted = &stop;
  int told = 0;
  options.progress = [&](const RunProgress& now) {
    if (now.phase == "again" && ++told == 8) stop = true;
  };
  const Kept got = sweep(plan(), options);
  EXPECT_TRUE(got.outcome.interrupted);
  EXPECT_EQ(got.last.size(), 6U);
  std::size_t more = 0;
  for (const auto& [name, row] : got.last) {
    EXPECT_EQ(row.status, RowStatus::ok) << name;
    EXPECT_NE(row.stop_reason, StopReason::none) << name;
    EXPECT_EQ(row.samples, static_cast<std::int64_t>(got.samples.at(name).size())) << name;
    EXPECT_GE(row.samples, got.first.at(name).samples) << name;
    more += row.samples > got.first.at(name).samples ? 1 : 0;
  }
  EXPECT_GE(more, 1U);
}

/// What the files of a run hold: every row has its samples.
void expect_consistent(const std::string& folder, std::size_t rows_expected) {
  const auto rows = read_summary(folder + "/summary.csv");
  const auto samples = read_samples(folder + "/samples.csv");
  ASSERT_TRUE(rows && samples);
  EXPECT_EQ(rows->size(), rows_expected);
  std::map<std::string, std::int64_t> counts;
  for (const SampleRow& sample : *samples) ++counts[sample.case_id];
  for (const Record& row : *rows) EXPECT_EQ(row.samples, counts[row.case_id()]);
}

TEST_F(FinalPhase, IsInTheFilesAfterEachVisitAndAResumedRunLeavesItThere) {
  const testing::ScratchDirectory scratch;
  const std::string folder = scratch.file("run");
  Manifest manifest;
  manifest.config_toml = "same";
  std::atomic<bool> stop{false};
  int deliveries = 0;
  {
    auto directory = RunDirectory::create(folder, RunDirectory::Existing::refuse);
    ASSERT_TRUE(directory && directory->write_manifest(manifest));
    const SimulatedClock clock;
    RunOptions options = options_of(22);
    options.interrupted = &stop;
    options.finished = [&](const std::vector<Record>& rows, const std::vector<SampleRow>& samples) {
      ASSERT_TRUE(directory->append(rows, samples));
      constexpr int kGroups = 3;
      if (++deliveries < kGroups) return;
      expect_consistent(folder, 6);
      stop = deliveries == kGroups + 1;
    };
    EXPECT_TRUE(run_sweep(plan(), Ceilings{}, options).interrupted);
  }
  EXPECT_EQ(deliveries, 4) << "three groups and one visit";
  auto directory = RunDirectory::create(folder, RunDirectory::Existing::resume);
  ASSERT_TRUE(directory);
  const auto state = directory->load_for_resume("same", "");
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->done_case_ids.size(), 6U);
  RunOptions options = options_of(22);
  options.done_case_ids = state->done_case_ids;
  const Kept rest = sweep(plan(), options);
  EXPECT_TRUE(rest.last.empty());
  EXPECT_EQ(rest.outcome.visits, 0);
  expect_consistent(folder, 6);
}

TEST_F(FinalPhase, ACaseThatFailsOnAReturnKeepsItsRounds) {
  std::atomic<bool> breaks{false};
  const FakeVariant broken("broken", {.throws_when = &breaks, .call_s = scattering(0.03, 0.8)});
  const FakeVariant greedy("greedy", {.call_s = scattering(0.03, 0.8), .unpreparable_again = true});
  SweepPlan both = plan();
  both.cases[2] = make_case(broken, 0);
  both.cases[3] = make_case(greedy, 1, 1, 5);
  RunOptions options = options_of(18);
  int told = 0;
  options.progress = [&](const RunProgress& now) {
    if (now.phase == "again" && now.current.starts_with("broken") && ++told == 3) breaks = true;
  };
  const Kept got = sweep(both, options);
  EXPECT_TRUE(breaks);
  EXPECT_EQ(got.outcome.failed, 0);
  for (const char* name : {"broken", "greedy"}) {
    const Record& row = got.last.at(name);
    EXPECT_EQ(row.status, RowStatus::ok) << name;
    EXPECT_EQ(row.samples, got.first.at(name).samples) << name;
    EXPECT_EQ(row.samples, static_cast<std::int64_t>(got.samples.at(name).size())) << name;
    EXPECT_EQ(row.time_median_s, got.first.at(name).time_median_s) << name;
    EXPECT_NE(row.reason.find("a later visit failed"), std::string::npos) << row.reason;
  }
}

TEST_F(FinalPhase, SaysWhenTheMachineWasAnotherOne) {
  // From its 28th call on it takes half as long again.
  const FakeVariant changed("changed", {.call_s = [](int call) {
                              return 0.05 * (1 + 0.2 * noise(call)) * (call < 28 ? 1 : 1.5);
                            }});
  SweepPlan other = plan();
  other.cases[3] = make_case(changed, 1, 1, 5);
  other.cases[3].predicted_time_s = 0.02;
  const Kept got = sweep(other, options_of(22));
  const Record& row = got.last.at("changed");
  ASSERT_GT(row.samples, 50);
  EXPECT_NE(row.reason.find("visits differ"), std::string::npos) << row.reason;
  EXPECT_LE(*row.time_ci_low_s, 0.052);
  EXPECT_GE(*row.time_ci_high_s, 0.072);
  EXPECT_NE(row.stop_reason, StopReason::precision);
}

TEST_F(FinalPhase, GivesSkippedCasesAnotherChance) {
  // All were expected to take sixty times as long as they do: there seemed to be no time for the
  // dearest.
  const FakeVariant dear("dear", {.call_s = scattering(1, 0.001)});
  const FakeVariant cheap("cheap", {.call_s = scattering(0.05, 0.001)});
  SweepPlan tight =
      make_sweep({make_case(dear, 0), make_case(calm_, 0), make_case(cheap, 1, 1, 5)});
  tight.cases[0].predicted_time_s = 24;
  tight.cases[1].predicted_time_s = tight.cases[2].predicted_time_s = 3;
  const Kept got = sweep(tight, options_of(14));
  EXPECT_EQ(got.first.at("dear").status, RowStatus::skipped);
  const Record& row = got.last.at("dear");
  EXPECT_EQ(row.status, RowStatus::ok) << row.reason;
  EXPECT_EQ(row.stop_reason, StopReason::precision);
  EXPECT_EQ(got.outcome.ok, 3);
  EXPECT_EQ(got.outcome.skipped, 0);
  EXPECT_LE(got.outcome.wall_s, 1.1 * 14);

  // Where there really is no time, the row is told once and stays.
  tight.cases[0].predicted_time_s = 1000;
  const Kept never = sweep(tight, options_of(14));
  EXPECT_EQ(never.last.at("dear").status, RowStatus::skipped);
  EXPECT_EQ(never.outcome.ok, 2);
  EXPECT_EQ(never.outcome.skipped, 1);
}

}  // namespace
}  // namespace attnbench::run_test
