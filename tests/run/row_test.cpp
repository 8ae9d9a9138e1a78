#include "run/row.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "run/fake_variants.h"
#include "run/repro.h"

namespace attnbench::run_test {
namespace {

using run::add_reason;
using run::fill_timing;
using run::planned_row;
using run::repro_command;
using run::shell_word;

std::vector<measure::TimedSample> samples_of(const std::vector<double>& wall, double census) {
  std::vector<measure::TimedSample> samples;
  for (const double w : wall) samples.push_back({w, w * census, 1, 0});
  return samples;
}

/// 100 GFLOP/s, 1e9 exp/s, 10 GB/s, for one and two threads alike.
Ceilings flat_ceilings() {
  Ceilings ceilings;
  for (const int threads : {1, 2}) {
    ceilings.compute.push_back({threads, 100e9, 1e9});
    ceilings.bandwidth.push_back({"memory", 0, threads, 10e9, 10e9});
  }
  return ceilings;
}

Case costed_case(const Variant& variant, int threads) {
  Case spec = make_case(variant, 0, threads);
  spec.cost.performed_flops = 200e6;
  spec.cost.useful_flops = 100e6;
  spec.cost.exp_count = 0;
  spec.cost.traffic_bytes = 1e6;
  return spec;
}

TEST(FillTiming, ComputesRatesAndRoofline) {
  const FakeVariant fake("fake");
  const Case spec = costed_case(fake, 1);
  Record row;
  fill_timing(row, spec, samples_of({4e-3, 5e-3, 3e-3, 4e-3, 4e-3, 4e-3, 9e-3}, 1),
              measure::Stop::precision, flat_ceilings());
  EXPECT_EQ(row.stop_reason, StopReason::precision);
  EXPECT_EQ(row.samples, 7);
  EXPECT_DOUBLE_EQ(row.time_median_s.value(), 4e-3);
  EXPECT_DOUBLE_EQ(row.time_min_s.value(), 3e-3);
  EXPECT_DOUBLE_EQ(row.time_ci_low_s.value(), 3e-3);
  EXPECT_DOUBLE_EQ(row.time_ci_high_s.value(), 9e-3);
  EXPECT_DOUBLE_EQ(row.time_mad_s.value(), 0);
  EXPECT_DOUBLE_EQ(row.gflops_performed.value(), 50);
  EXPECT_DOUBLE_EQ(row.gflops_useful.value(), 25);
  EXPECT_DOUBLE_EQ(row.roofline_bound_s.value(), 2e-3);
  EXPECT_DOUBLE_EQ(row.roofline_fraction.value(), 0.5);
  EXPECT_DOUBLE_EQ(row.thread_census.value(), 1);
  EXPECT_EQ(row.reason, "");
}

TEST(FillTiming, LeavesTheIntervalEmptyWhenThereAreTooFewRounds) {
  const FakeVariant fake("fake");
  Record row;
  fill_timing(row, costed_case(fake, 1), samples_of({4e-3, 5e-3, 3e-3}, 1), measure::Stop::budget,
              flat_ceilings());
  EXPECT_DOUBLE_EQ(row.time_median_s.value(), 4e-3);
  EXPECT_FALSE(row.time_ci_low_s.has_value());
  EXPECT_FALSE(row.time_ci_high_s.has_value());
  EXPECT_EQ(row.reason, "3 rounds: too few for a 95% interval");
}

TEST(FillTiming, WarnsAboveTheRoof) {
  const FakeVariant fake("fake");
  const Case spec = costed_case(fake, 1);
  Record at, above;
  fill_timing(at, spec, samples_of(std::vector<double>(7, 2e-3 / 1.04), 1),
              measure::Stop::precision, flat_ceilings());
  EXPECT_EQ(at.reason, "");
  fill_timing(above, spec, samples_of(std::vector<double>(7, 2e-3 / 1.06), 1),
              measure::Stop::precision, flat_ceilings());
  EXPECT_EQ(above.status, RowStatus::ok);
  EXPECT_EQ(above.reason, "warning: 1.06 of the roofline: the ceilings or the counts are in doubt");
}

TEST(FillTiming, ReportsOversubscription) {
  const FakeVariant fake("fake");
  Record fine, over;
  fill_timing(fine, costed_case(fake, 2), samples_of(std::vector<double>(7, 4e-3), 2.08),
              measure::Stop::precision, flat_ceilings());
  EXPECT_EQ(fine.reason, "");
  EXPECT_DOUBLE_EQ(fine.thread_census.value(), 2.08);
  fill_timing(over, costed_case(fake, 2), samples_of(std::vector<double>(7, 4e-3), 2.2),
              measure::Stop::precision, flat_ceilings());
  EXPECT_EQ(over.reason, "warning: oversubscribed: 2.20 threads were busy, 2 were given");
}

TEST(FillTiming, HasNoRooflineWithoutCeilings) {
  const FakeVariant fake("fake");
  Record row;
  fill_timing(row, costed_case(fake, 1), samples_of(std::vector<double>(7, 4e-3), 1),
              measure::Stop::precision, {});
  EXPECT_FALSE(row.roofline_bound_s.has_value());
  EXPECT_FALSE(row.roofline_fraction.has_value());
  EXPECT_TRUE(row.gflops_performed.has_value());
}

TEST(PlannedRow, HasEveryAxisAndModelFigure) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake, 0, 2);
  spec.problem.causal = true;
  spec.problem.layout = Layout::bnhd;
  spec.input = "sink";
  SweepConfig config;
  config.seed = 9;
  const Record row = planned_row(spec, config, "run", "avx2");
  EXPECT_EQ(row.axes.variant, "fake");
  EXPECT_EQ(row.axes.family, "fake");
  EXPECT_EQ(row.axes.exactness, "exact");
  EXPECT_EQ(row.axes.isa, "avx2");
  EXPECT_EQ(row.axes.layout, "bnhd");
  EXPECT_EQ(row.axes.input, "sink");
  EXPECT_EQ(row.axes.cache, "hot");
  EXPECT_TRUE(row.axes.causal);
  EXPECT_EQ(row.axes.threads, 2);
  EXPECT_EQ(row.axes.seq_k, 8);
  EXPECT_EQ(row.seed, 9U);
  EXPECT_EQ(row.time_law, "N^2");
  EXPECT_EQ(row.workspace_law, "1");
  EXPECT_EQ(row.workspace_model_bytes, 1024);
  EXPECT_FALSE(row.workspace_peak_bytes.has_value());
  EXPECT_EQ(row.performed_flops, spec.cost.performed_flops);
}

TEST(PlannedRow, OfASkippedCaseWithoutACostIsEmptyThere) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake);
  spec.cost = {};
  spec.skip = "no";
  const Record row = planned_row(spec, {}, "run", "avx2");
  EXPECT_EQ(row.status, RowStatus::skipped);
  EXPECT_FALSE(row.performed_flops.has_value());
  EXPECT_FALSE(row.workspace_model_bytes.has_value());
}

TEST(FillCounters, TakesMediansAndLeavesOutWhatIsIncomplete) {
  Record row;
  run::fill_counters(
      row, std::vector<run::EventCounts>{{10.4, 20, {}}, {30.0, 20, 5.0}, {20.0, {}, 5.0}});
  EXPECT_EQ(row.cycles, 20);
  EXPECT_FALSE(row.instructions.has_value());
  EXPECT_FALSE(row.cache_misses.has_value());
  Record none;
  run::fill_counters(none, {});
  EXPECT_FALSE(none.cycles.has_value());
}

TEST(AddReason, JoinsSeveral) {
  Record row;
  add_reason(row, "one");
  add_reason(row, "two");
  EXPECT_EQ(row.reason, "one; two");
}

TEST(ShellWord, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(shell_word("peaked=4"), "peaked=4");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's;$x"), "'it'\\''s;$x'");
}

TEST(Repro, NamesTheFileOfRecordedInputsAndLeavesTheShapeToIt) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake, 0, 2, 128);
  auto capture = std::make_shared<Capture>();
  capture->text = "file:my runs/{}.npy";
  capture->label = "file:{}.npy#01234567";
  spec.capture = capture;
  spec.input = capture->label;
  EXPECT_EQ(repro_command(spec, {}),
            "attnbench run --variants fake --seq 128 --threads 2 --input 'file:my runs/{}.npy' "
            "--seed 1");
  EXPECT_EQ(run::make_axes(spec, "avx2").input, "file:{}.npy#01234567");
}

TEST(Repro, NamesTheAxesThatAreNotAtTheirDefaults) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake, 0, 2, 128);
  EXPECT_EQ(repro_command(spec, {}),
            "attnbench run --variants fake --seq 128 --threads 2 --heads 2 --dim 4 --seed 1");
  spec.problem.causal = true;
  spec.problem.position = Position::alibi;
  spec.problem.softcap = 50;
  spec.problem.sink = {1, 2};
  spec.problem.batch = 3;
  spec.problem.heads_kv = 1;
  spec.problem.dim_v = 5;
  spec.problem.layout = Layout::bnhd;
  spec.problem.pass = Pass::fwd_bwd;
  spec.problem.scale = 0.25;
  spec.problem.mode = Mode::cross;
  spec.problem.seq_k = 64;
  spec.input = "peaked=4";
  spec.cache = CacheState::cold;
  spec.params.set("left", "64");
  SweepConfig config;
  config.seed = 7;
  config.isa = "avx2";
  EXPECT_EQ(repro_command(spec, config),
            "attnbench run --variants fake --mode cross --seq 128 --seq-k 64 --threads 2 --batch 3 "
            "--heads 2 --kv-heads 1 --dim 4 --dim-v 5 --causal on --position alibi --softcap 50 "
            "--sink on --pass fwd+bwd --layout bnhd "
            "--input peaked=4 --cache cold --scale 0.25 --isa avx2 --param fake.left=64 --seed 7");
}

TEST(Repro, NamesThePairsAndTheBaseOfRope) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake, 0, 2, 128);
  spec.problem.position = Position::rope;
  spec.problem.rope = {true, 500000};
  EXPECT_EQ(repro_command(spec, {}),
            "attnbench run --variants fake --seq 128 --threads 2 --heads 2 --dim 4 --position rope "
            "--rope-pairs interleaved --rope-base 500000 --seed 1");
  EXPECT_EQ(run::make_axes(spec, "avx2").params, "rope-base=500000;rope-pairs=interleaved");
}

TEST(Repro, OfADecodeCaseGivesTheKeyLengthAsSeq) {
  const FakeVariant fake("fake");
  Case spec = make_case(fake);
  spec.problem.mode = Mode::decode;
  spec.problem.seq_q = 1;
  spec.problem.seq_k = 4096;
  EXPECT_EQ(repro_command(spec, {}),
            "attnbench run --variants fake --mode decode --seq 4096 --threads 1 --heads 2 --dim 4 "
            "--seed 1");
  spec.problem.seq_q = 4;
  EXPECT_NE(repro_command(spec, {}).find("--seq 4096 --seq-q 4"), std::string::npos);
}

}  // namespace
}  // namespace attnbench::run_test
