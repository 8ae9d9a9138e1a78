#include "run/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "measure/hardware_counters.h"
#include "run/fake_variants.h"
#include "run/prepared_case.h"
#include "run/row.h"

namespace attnbench::run_test {
namespace {

TEST(Runner, VerifiesAndTimesACorrectVariant) {
  const FakeVariant fake("good");
  const Delivered got = run(make_sweep({make_case(fake)}));
  ASSERT_EQ(got.rows.size(), 1U);
  const Record& row = got.rows[0];
  EXPECT_EQ(row.status, RowStatus::ok) << row.reason;
  EXPECT_EQ(row.run_id, "test");
  EXPECT_NE(row.stop_reason, StopReason::none);
  EXPECT_GE(row.samples, 7);
  EXPECT_EQ(got.samples_of(row), row.samples);
  ASSERT_TRUE(row.time_median_s && row.time_ci_low_s && row.time_ci_high_s && row.time_min_s);
  EXPECT_LE(*row.time_min_s, *row.time_ci_low_s);
  EXPECT_LE(*row.time_ci_low_s, *row.time_median_s);
  EXPECT_LE(*row.time_median_s, *row.time_ci_high_s);
  EXPECT_LT(row.definition_rel_l2.value(), 1e-6);
  EXPECT_LT(row.error_rel_l2.value(), 1e-6);
  EXPECT_GT(row.error_mean_v.value(), 0.01);
  EXPECT_EQ(row.error_reference, "all rows");
  EXPECT_EQ(row.workspace_model_bytes, 1024);
  EXPECT_EQ(row.workspace_peak_bytes, 1024);
  EXPECT_TRUE(row.gflops_useful && row.gflops_performed && row.roofline_fraction);
  EXPECT_EQ(got.outcome.ok, 1);
  EXPECT_GT(got.outcome.timed_s, 0);
  EXPECT_LE(got.outcome.timed_s, got.outcome.wall_s);
  EXPECT_FALSE(got.outcome.interrupted);
}

TEST(Runner, FailsAWrongVariantAndDoesNotTimeIt) {
  const FakeVariant good("good");
  const FakeVariant wrong("wrong", {.offset = 0.01F});
  const Delivered got = run(make_sweep({make_case(wrong), make_case(good)}));
  const Record& row = got.row("wrong");
  EXPECT_EQ(row.status, RowStatus::failed);
  EXPECT_NE(row.reason.find("definition_rel_l2"), std::string::npos) << row.reason;
  EXPECT_GT(row.definition_rel_l2.value(), 1e-4);
  EXPECT_EQ(wrong.calls(), 1);  // The verification's call and no other.
  EXPECT_EQ(row.samples, 0);
  EXPECT_FALSE(row.time_median_s.has_value());
  EXPECT_EQ(got.samples_of(row), 0);
  EXPECT_EQ(got.row("good").status, RowStatus::ok);
  EXPECT_EQ(got.outcome.failed, 1);
  EXPECT_EQ(got.outcome.ok, 1);
}

TEST(Runner, FailsAVariantThatLeavesARowUnwritten) {
  const FakeVariant good("good");
  const FakeVariant lazy("lazy", {.leaves_last_row = true});
  // After the good one the output holds the right values: only the poison tells.
  const Delivered got = run(make_sweep({make_case(good), make_case(lazy)}));
  EXPECT_EQ(got.row("lazy").status, RowStatus::failed);
  EXPECT_EQ(lazy.calls(), 1);
}

TEST(Runner, ReportsFailedAllocationsAsOutOfMemory) {
  const FakeVariant greedy("greedy", {.bad_alloc_from = 1});
  const FakeVariant later("later", {.bad_alloc_from = 4});
  const FakeVariant good("good");
  const Delivered got = run(make_sweep({make_case(greedy), make_case(later), make_case(good)}));
  EXPECT_EQ(got.row("greedy").status, RowStatus::out_of_memory);
  EXPECT_EQ(greedy.calls(), 1);
  EXPECT_EQ(got.row("later").status, RowStatus::out_of_memory);
  EXPECT_EQ(got.samples_of(got.row("later")), 0);
  EXPECT_EQ(got.row("good").status, RowStatus::ok);
  EXPECT_EQ(got.outcome.out_of_memory, 2);
}

TEST(Runner, ReportsAPreparationWithoutMemory) {
  const FakeVariant huge("huge", {.unpreparable = true});
  const Delivered got = run(make_sweep({make_case(huge)}));
  const Record& row = got.row("huge");
  EXPECT_EQ(row.status, RowStatus::out_of_memory);
  EXPECT_NE(row.reason.find("workspace of 1024 bytes"), std::string::npos) << row.reason;
  EXPECT_EQ(huge.calls(), 0);
}

TEST(Runner, FailsAVariantThatTakesMoreOrLessWorkspaceThanItSays) {
  const FakeVariant more("more", {.takes_floats = 512, .models_floats = 256});
  const FakeVariant less("less", {.takes_floats = 128, .models_floats = 256});
  const Delivered got = run(make_sweep({make_case(more), make_case(less)}));
  EXPECT_EQ(got.row("more").status, RowStatus::failed);
  EXPECT_NE(got.row("more").reason.find("too small"), std::string::npos) << got.row("more").reason;
  const Record& row = got.row("less");
  EXPECT_EQ(row.status, RowStatus::failed);
  EXPECT_EQ(row.workspace_peak_bytes, 512);
  EXPECT_EQ(row.workspace_model_bytes, 1024);
  EXPECT_EQ(row.samples, 0);
}

TEST(Runner, FailsAVariantThatThrowsWhileItIsSampled) {
  std::atomic<bool> breaks{false};
  const FakeVariant broken("broken", {.throws_when = &breaks});
  const FakeVariant good("good");
  RunOptions options = quick_options();
  options.progress = [&breaks](const RunProgress& now) {
    if (now.phase == "sample") breaks = true;
  };
  options.config.max_samples = 60;
  options.config.target_ci = 1e-12;
  options.config.budget_s = 60;
  const Delivered got = run(make_sweep({make_case(broken), make_case(good)}), options);
  EXPECT_EQ(got.row("broken").status, RowStatus::failed);
  EXPECT_EQ(got.row("broken").reason, "the fake broke");
  EXPECT_EQ(got.samples_of(got.row("broken")), 0);
  EXPECT_EQ(got.row("good").status, RowStatus::ok);
}

TEST(Runner, EndsACaseWhoseCallTakesTooLong) {
  const FakeVariant slow("slow");
  RunOptions options = quick_options();
  options.config.case_timeout_s = 1e-9;
  const Delivered got = run(make_sweep({make_case(slow)}), options);
  const Record& row = got.row("slow");
  EXPECT_EQ(row.status, RowStatus::timeout);
  EXPECT_NE(row.reason.find("the limit is 1e-09 s"), std::string::npos) << row.reason;
  EXPECT_FALSE(row.time_median_s.has_value());
  EXPECT_TRUE(row.definition_rel_l2.has_value());  // It was verified all the same.
  EXPECT_EQ(got.outcome.timeout, 1);
}

TEST(Runner, SkipsWhatTheBudgetCannotPayFor) {
  const FakeVariant fake("fake"), dear("dear");
  Case expensive = make_case(dear, 1);
  expensive.predicted_time_s = 1e6;
  const Delivered got = run(make_sweep({make_case(fake, 0), expensive}));
  const Record& row = got.row("dear");
  EXPECT_EQ(row.status, RowStatus::skipped);
  EXPECT_NE(row.reason.find("budget of 30 s"), std::string::npos) << row.reason;
  EXPECT_EQ(dear.calls(), 0);
  EXPECT_EQ(got.row("fake").status, RowStatus::ok);
}

TEST(Runner, DeliversSkipsOfThePlanAsRows) {
  const FakeVariant fake("fake"), other("other");
  Case skipped = make_case(other);
  skipped.skip = "not defined for this";
  const Delivered got = run(make_sweep({make_case(fake), skipped}));
  ASSERT_EQ(got.rows.size(), 2U);
  EXPECT_EQ(got.rows[1].status, RowStatus::skipped);
  EXPECT_EQ(got.rows[1].reason, "not defined for this");
  EXPECT_EQ(other.calls(), 0);
  EXPECT_EQ(got.outcome.skipped, 1);
}

TEST(Runner, InterleavesTheCasesOfAGroupInRounds) {
  const FakeVariant a("a"), b("b"), c("c");
  RunOptions options = quick_options();
  options.config.target_ci = 1e-9;  // Nobody leaves before the ninth round.
  const Delivered got = run(make_sweep({make_case(a), make_case(b), make_case(c)}), options);
  std::map<int, std::set<std::string>> in_round;
  std::map<int, std::set<int>> orders;
  for (const SampleRow& sample : got.samples) {
    in_round[sample.round].insert(sample.case_id);
    orders[sample.round].insert(sample.order);
  }
  ASSERT_GE(in_round.size(), 7U);
  for (int round = 0; round < 7; ++round) {
    EXPECT_EQ(in_round[round].size(), 3U);
    EXPECT_EQ(orders[round], (std::set<int>{0, 1, 2}));
  }
  EXPECT_TRUE(std::ranges::is_sorted(got.samples, {}, &SampleRow::start_s));
  for (const Record& row : got.rows) EXPECT_EQ(row.stop_reason, StopReason::max_samples);
}

TEST(Runner, DeliversOneGroupAfterTheOtherInPlanOrder) {
  const FakeVariant a("a"), b("b"), c("c");
  const Delivered got = run(
      make_sweep({make_case(a, 0), make_case(b, 0), make_case(a, 1, 1, 5), make_case(c, 1, 1, 5)}));
  EXPECT_EQ(got.deliveries, 2);
  std::vector<std::string> names;
  for (const Record& row : got.rows) names.push_back(row.axes.variant);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "a", "c"}));
  EXPECT_EQ(got.rows[2].axes.seq_q, 5);
}

TEST(Runner, SplitsAGroupWhoseWorkspacesDoNotFitTogether) {
  const FakeVariant a("a", {.takes_floats = 1000, .models_floats = 1000});
  const FakeVariant b("b", {.takes_floats = 1000, .models_floats = 1000});
  SweepPlan plan = make_sweep({make_case(a), make_case(b)});
  for (Case& spec : plan.cases) spec.predicted_bytes = 9000;
  plan.memory_limit_bytes = 10000;  // One case and its workspace of 4032 bytes, not two.
  const Delivered got = run(plan);
  ASSERT_EQ(got.rows.size(), 2U);
  EXPECT_EQ(got.outcome.ok, 2);
  // Not interleaved: all samples of a come before those of b.
  const std::string first = got.rows[0].axes.case_id();
  for (std::size_t i = 0; i < got.samples.size(); ++i) {
    const bool of_a = got.samples[i].case_id == first;
    EXPECT_EQ(of_a, static_cast<std::int64_t>(i) < got.rows[0].samples);
  }
}

TEST(Runner, KeepsWhatWasMeasuredWhenInterrupted) {
  std::atomic<bool> stop{false};
  const FakeVariant last("last");
  const FakeVariant never("never");
  RunOptions options = quick_options();
  options.interrupted = &stop;
  options.progress = [&stop](const RunProgress& now) {
    if (now.phase == "sample") stop = true;
  };
  options.config.max_samples = 100000;
  options.config.target_ci = 1e-12;
  options.config.budget_s = 60;
  const Delivered got = run(make_sweep({make_case(last, 0), make_case(never, 1, 1, 5)}), options);
  EXPECT_TRUE(got.outcome.interrupted);
  ASSERT_EQ(got.rows.size(), 1U);
  const Record& row = got.rows[0];
  EXPECT_EQ(row.axes.variant, "last");
  EXPECT_EQ(row.status, RowStatus::ok);
  EXPECT_EQ(row.stop_reason, StopReason::none);
  EXPECT_NE(row.reason.find("interrupted after"), std::string::npos) << row.reason;
  EXPECT_EQ(row.samples, got.samples_of(row));
  EXPECT_GE(row.samples, 1);
  EXPECT_EQ(never.calls(), 0);
}

TEST(Runner, DeliversFinishedGroupsBeforeAnInterrupt) {
  std::atomic<bool> stop{false};
  const FakeVariant done("done");
  const FakeVariant last("last", {.interrupts = &stop, .interrupts_at = 1});
  const FakeVariant never("never");
  RunOptions options = quick_options();
  options.interrupted = &stop;
  const Delivered got =
      run(make_sweep({make_case(done, 0), make_case(last, 1, 1, 5), make_case(never, 2, 1, 6)}),
          options);
  EXPECT_TRUE(got.outcome.interrupted);
  // The interrupt came with the verifying call: there is nothing to report of that case.
  ASSERT_EQ(got.rows.size(), 1U);
  EXPECT_EQ(got.rows[0].axes.variant, "done");
  EXPECT_EQ(got.rows[0].samples, got.samples_of(got.rows[0]));
  EXPECT_EQ(never.calls(), 0);
}

TEST(Runner, LeavesOutWhatAnEarlierRunFinished) {
  const FakeVariant a("a"), b("b");
  const SweepPlan plan = make_sweep({make_case(a), make_case(b)});
  const Delivered first = run(plan);
  const int calls = a.calls();
  RunOptions options = quick_options();
  options.done_case_ids = {first.row("a").axes.case_id()};
  const Delivered second = run(plan, options);
  ASSERT_EQ(second.rows.size(), 1U);
  EXPECT_EQ(second.rows[0].axes.variant, "b");
  EXPECT_EQ(a.calls(), calls);
}

TEST(Runner, TellsItsProgress) {
  const FakeVariant a("a"), b("b");
  RunOptions options = quick_options();
  std::vector<RunProgress> told;
  options.progress = [&](const RunProgress& progress) { told.push_back(progress); };
  run(make_sweep({make_case(a), make_case(b, 1, 1, 5)}), options);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0].current, "a N=8 T=1");
  EXPECT_EQ(told[0].phase, "verify");
  for (const RunProgress& progress : told) {
    EXPECT_EQ(progress.total, 2);
    EXPECT_LE(progress.done, 2);
    EXPECT_GE(progress.remaining_s, 0);
  }
}

TEST(Runner, RotatesInputsForAColdCache) {
  const FakeVariant fake("fake");
  Case cold = make_case(fake);
  cold.cache = CacheState::cold;
  Ceilings ceilings = high_ceilings();
  ceilings.bandwidth.insert(ceilings.bandwidth.begin(), {"L1", 4096, 1, 1e12, 1e12});
  const Delivered got = run(make_sweep({cold}), quick_options(), ceilings);
  EXPECT_EQ(got.rows.at(0).status, RowStatus::ok) << got.rows.at(0).reason;
  EXPECT_EQ(got.rows[0].axes.cache, "cold");
}

TEST(Runner, MeasuresHotAndColdSideBySide) {
  const FakeVariant fake("fake");
  Case hot = make_case(fake), cold = make_case(fake);
  cold.cache = CacheState::cold;
  const Delivered got = run(make_sweep({hot, cold}));
  ASSERT_EQ(got.rows.size(), 2U);
  EXPECT_EQ(got.rows[0].axes.cache, "hot");
  EXPECT_EQ(got.rows[1].axes.cache, "cold");
  for (const Record& row : got.rows) EXPECT_EQ(row.status, RowStatus::ok) << row.reason;
  EXPECT_NE(got.rows[0].case_id(), got.rows[1].case_id());
}

TEST(InputRotation, KeepsColdCallsOffTheTensorsOfHotOnes) {
  Problem problem = small_problem();
  const InputTensors tensors = draw_inputs(problem, "gaussian", 1);
  const double bytes =
      4.0 * static_cast<double>(tensors.q.buffer().size() + tensors.k.buffer().size() +
                                tensors.v.buffer().size());
  for (const bool hot : {false, true}) {
    run::InputRotation rotation(tensors, problem.layout, hot, true, 2 * bytes);
    EXPECT_EQ(rotation.next(CacheState::hot).q.data, tensors.q.view().data);
    std::set<const float*> seen;
    for (std::size_t i = 0; i < 20; ++i) {
      seen.insert(rotation.next(CacheState::cold).q.data);
      EXPECT_EQ(rotation.next(CacheState::hot).q.data, tensors.q.view().data);
    }
    EXPECT_EQ(seen.contains(tensors.q.view().data), !hot);
    EXPECT_EQ(seen.size(), 5U) << "twice the cache, and one more";
  }
  run::InputRotation warm(tensors, problem.layout, true, false, 2 * bytes);
  EXPECT_EQ(warm.copies(), 1U);
}

TEST(Runner, SaysWhyHardwareCountersAreEmptyWhenTheyWereAskedFor) {
  const FakeVariant fake("fake");
  RunOptions options = quick_options();
  const auto about_counters = [](const Delivered& got) {
    return std::ranges::count_if(got.outcome.warnings, [](const std::string& warning) {
      return warning.find("hardware counters") != std::string::npos;
    });
  };
  const bool all = measure::ProcessCounters().refusal().empty();
  EXPECT_EQ(about_counters(run(make_sweep({make_case(fake)}), options)), 0) << "nobody asked";
  options.config.counters = CounterUse::on;
  EXPECT_EQ(about_counters(run(make_sweep({make_case(fake)}), options)), all ? 0 : 1);
  options.config.counters = CounterUse::off;
  const Delivered off = run(make_sweep({make_case(fake)}), options);
  EXPECT_EQ(about_counters(off), 0);
  EXPECT_FALSE(off.rows.at(0).cycles.has_value());
}

TEST(Runner, WarnsWhenTheClockDropped) {
  const FakeVariant fake("fake");
  // The ceilings claim 10 TFLOP/s on one thread: what is measured afterwards is far less.
  const Delivered got = run(make_sweep({make_case(fake)}));
  EXPECT_LT(got.outcome.lowest_clock_ratio, 0.9);
  ASSERT_EQ(got.outcome.warnings.size(), 1U);
  EXPECT_NE(got.outcome.warnings[0].find("the clock dropped"), std::string::npos);
  Ceilings low = high_ceilings();
  for (ComputeCeiling& compute : low.compute) compute.flops_per_s = 1;
  EXPECT_TRUE(run(make_sweep({make_case(fake)}), quick_options(), low).outcome.warnings.empty());
}

}  // namespace
}  // namespace attnbench::run_test
