#include "analyse/scaling.h"

#include <gtest/gtest.h>

#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::row;

Manifest machine(double fma_ratio, double memory_ratio) {
  Manifest manifest;
  manifest.compute = {{1, 100, 1e9}, {2, 100 * fma_ratio, 1e9 * fma_ratio}};
  manifest.bandwidth = {{"L1", 32768, 1, 200, 100},
                        {"memory", 0, 1, 10, 8},
                        {"L1", 65536, 2, 400, 200},
                        {"memory", 0, 2, 10 * memory_ratio, 8 * memory_ratio}};
  return manifest;
}

std::vector<Record> amdahl(double serial, double ratio_at_two) {
  return {row("flash", 1024, 1.0, 1), row("flash", 1024, serial + (1 - serial) / ratio_at_two, 2)};
}

TEST(Scaling, SpeedUpEfficiencyAndSerialFraction) {
  const auto all = analyse_scaling(group_series(amdahl(0.2, 2)), nullptr);
  ASSERT_EQ(all.size(), 1u);
  const Scaling& s = all[0];
  EXPECT_EQ(s.seq, 1024);
  ASSERT_EQ(s.points.size(), 2u);
  EXPECT_NEAR(s.points[1].speedup, 1 / 0.6, 1e-9);
  EXPECT_NEAR(s.points[1].efficiency, 0.5 / 0.6, 1e-9);
  EXPECT_LT(s.points[1].speedup_interval.low, 1 / 0.6);
  EXPECT_GT(s.points[1].speedup_interval.high, 1 / 0.6);
  EXPECT_EQ(s.machine_basis, "threads");
  EXPECT_NEAR(*s.serial_fraction, 0.2, 1e-9);
  EXPECT_GT(s.serial_interval->low, 0.15);
  EXPECT_LT(s.serial_interval->high, 0.25);
  EXPECT_EQ(s.best_threads, 2);
}

TEST(Scaling, IsJudgedByWhatTheMachineGains) {
  auto rows = amdahl(0.1, 1.6);
  for (Record& r : rows) {
    r.performed_flops = 1e9;
    r.exp_count = 1e6;
    r.traffic_bytes = 1e6;
    r.min_bytes = 1e6;
  }
  const Manifest manifest = machine(1.6, 1.1);
  const auto compute = analyse_scaling(group_series(rows), &manifest)[0];
  EXPECT_EQ(compute.machine_basis, "fma");
  EXPECT_NEAR(compute.points[1].machine_ratio, 1.6, 1e-9);
  EXPECT_NEAR(*compute.serial_fraction, 0.1, 1e-9);

  for (Record& r : rows) r.traffic_bytes = 1e12;
  const auto memory = analyse_scaling(group_series(rows), &manifest)[0];
  EXPECT_EQ(memory.machine_basis, "bandwidth");
  EXPECT_NEAR(memory.points[1].machine_ratio, 1.1, 1e-9);
  EXPECT_EQ(*memory.serial_fraction, 0) << "better than the machine's own ratio";

  for (Record& r : rows) {
    r.traffic_bytes = 1e6;
    r.exp_count = 1e12;
  }
  EXPECT_EQ(analyse_scaling(group_series(rows), &manifest)[0].machine_basis, "exp");
}

TEST(Scaling, RooflineColumnsStandInForAManifest) {
  auto rows = amdahl(0, 1.5);
  rows[0].roofline_bound_s = 0.3;
  rows[1].roofline_bound_s = 0.2;
  const auto s = analyse_scaling(group_series(rows), nullptr)[0];
  EXPECT_EQ(s.machine_basis, "roofline");
  EXPECT_NEAR(s.points[1].machine_ratio, 1.5, 1e-9);
  // A manifest without this thread count does not either.
  Manifest manifest;
  manifest.compute = {{1, 100, 1e9}};
  EXPECT_EQ(analyse_scaling(group_series(rows), &manifest)[0].machine_basis, "roofline");
}

TEST(Scaling, BestThreadsMayBeOne) {
  const std::vector<Record> rows{row("flash", 64, 1e-5, 1), row("flash", 64, 2e-5, 2),
                                 row("flash", 64, 3e-5, 4)};
  const auto s = analyse_scaling(group_series(rows), nullptr)[0];
  EXPECT_EQ(s.best_threads, 1);
  EXPECT_EQ(*s.serial_fraction, 1) << "clamped";
}

TEST(Scaling, LackOfFitWidensTheInterval) {
  const auto at = [](double two, double four, double eight) {
    return std::vector<Record>{row("flash", 64, 1, 1), row("flash", 64, two, 2),
                               row("flash", 64, four, 4), row("flash", 64, eight, 8)};
  };
  const auto width = [](const std::vector<Record>& rows) {
    const auto s = analyse_scaling(group_series(rows), nullptr)[0];
    return s.serial_interval->high - s.serial_interval->low;
  };
  const auto t = [](double n) { return 0.2 + 0.8 / n; };
  EXPECT_GT(width(at(t(2) * 1.1, t(4) * 0.9, t(8) * 1.1)), 3 * width(at(t(2), t(4), t(8))));
}

TEST(Scaling, NeedsOneThreadAndAnother) {
  EXPECT_TRUE(analyse_scaling(group_series(std::vector{row("flash", 64, 1, 1)}), nullptr).empty());
  EXPECT_TRUE(
      analyse_scaling(group_series(std::vector{row("flash", 64, 1, 2), row("flash", 64, 1, 4)}),
                      nullptr)
          .empty());
}

// Stated threshold: 93% of the nominal 95% intervals hold the true serial fraction.
TEST(ScalingSimulation, SerialFractionIntervalsCover) {
  constexpr int kTrials = 1000;
  Random random(51);
  int covered = 0;
  for (int i = 0; i < kTrials; ++i) {
    const double serial = random.uniform(0.1, 0.5), noise = 0.02;
    std::vector<Record> rows;
    for (const int threads : {1, 2, 4, 8}) {
      const double time = (serial + (1 - serial) / threads) * std::exp(noise * random.normal());
      rows.push_back(row("flash", 64, time, threads));
      rows.back().time_ci_low_s = time * std::exp(-1.96 * noise);
      rows.back().time_ci_high_s = time * std::exp(1.96 * noise);
    }
    const auto s = analyse_scaling(group_series(rows), nullptr)[0];
    covered += s.serial_interval->low <= serial && serial <= s.serial_interval->high;
  }
  EXPECT_GE(covered, 930);
}

}  // namespace
}  // namespace attnbench::analyse
