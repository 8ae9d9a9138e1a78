#include "kernels/ceilings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/arena.h"
#include "kernels/ceilings_simd.h"
#include "kernels/isa.h"

namespace attnbench {
namespace {

/// A machine with round figures: 100 GFLOP/s and 1e9 exp/s a thread.
Ceilings made_up() {
  Ceilings c;
  c.isa = "avx2";
  c.compute = {{1, 100e9, 1e9}, {2, 200e9, 2e9}};
  c.bandwidth = {{"L1", 32 << 10, 1, 400e9, 300e9}, {"L2", 1 << 20, 1, 200e9, 150e9},
                 {"L3", 32 << 20, 1, 50e9, 60e9},   {"memory", 0, 1, 10e9, 12e9},
                 {"L1", 64 << 10, 2, 800e9, 600e9}, {"L2", 2 << 20, 2, 400e9, 300e9},
                 {"L3", 32 << 20, 2, 100e9, 110e9}, {"memory", 0, 2, 15e9, 14e9}};
  return c;
}

TEST(Ceilings, FindTheSmallestLevelThatHoldsTheWorkingSet) {
  const Ceilings c = made_up();
  EXPECT_EQ(c.bandwidth_at(1, 1000, false)->level, "L1");
  EXPECT_EQ(c.bandwidth_at(1, 32 << 10, false)->level, "L1");
  EXPECT_EQ(c.bandwidth_at(1, (32 << 10) + 1, false)->level, "L2");
  EXPECT_EQ(c.bandwidth_at(2, (32 << 10) + 1, false)->level, "L1");
  EXPECT_EQ(c.bandwidth_at(1, 4e6, false)->level, "L3");
  EXPECT_EQ(c.bandwidth_at(1, 4e9, false)->level, "memory");
  EXPECT_EQ(c.bandwidth_at(1, 1000, true)->level, "memory");
  EXPECT_EQ(c.bandwidth_at(2, 1000, true)->threads, 2);
  EXPECT_EQ(c.bandwidth_at(3, 1000, false), nullptr);
  EXPECT_EQ(c.compute_at(3), nullptr);
  EXPECT_DOUBLE_EQ(c.compute_at(2)->flops_per_s, 200e9);
}

TEST(Roofline, IsTheLargerOfComputeAndTraffic) {
  const Ceilings c = made_up();
  Cost cost;
  cost.performed_flops = 100e9;
  cost.exp_count = 1e9;
  cost.min_bytes = 1000;
  cost.traffic_bytes = 1000;
  // One second of products and one of exponentials.
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, false).value(), 2);
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 2, false).value(), 1);
  // A working set of 4 MB is read from L3: its better figure is 60 GB/s.
  cost.min_bytes = 4e6;
  cost.traffic_bytes = 180e9;
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, false).value(), 3);
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, true).value(), 15);
  // The workspace counts to the working set: 64 MB do not fit in L3.
  cost.workspace_bytes = 64 << 20;
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, false).value(), 15);
}

TEST(Roofline, GivesFloat64HalfTheRates) {
  const Ceilings c = made_up();
  Cost cost;
  cost.performed_flops = 100e9;
  cost.exp_count = 1e9;
  cost.float64_flops = 50e9;
  // Half a second of float32 products, one of float64, one of exponentials.
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, false).value(), 2.5);
  cost.float64_exps = 0.5e9;
  EXPECT_DOUBLE_EQ(roofline_bound_s(c, cost, 1, false).value(), 3);
}

TEST(Roofline, IsAbsentWhereNothingWasMeasured) {
  Cost cost;
  cost.performed_flops = 1;
  EXPECT_FALSE(roofline_bound_s(made_up(), cost, 3, false).has_value());
  EXPECT_FALSE(roofline_bound_s({}, cost, 1, false).has_value());
  Ceilings broken = made_up();
  broken.compute[0].flops_per_s = 0;
  EXPECT_FALSE(roofline_bound_s(broken, cost, 1, false).has_value());
}

TEST(LevelPlans, HalveThePartOfEachThread) {
  // Two logical CPUs share L1 and L2 (SMT), eight share L3.
  const std::vector<DataCache> caches{{1, 48 << 10, 2}, {2, 2 << 20, 2}, {3, 32 << 20, 8}};
  const auto one = plan_levels(caches, 1, std::int64_t{1} << 40);
  ASSERT_EQ(one.size(), 4U);
  EXPECT_EQ(one[0].level, "L1");
  EXPECT_EQ(one[0].capacity_bytes, 48 << 10);
  EXPECT_EQ(one[0].thread_read_bytes, 24 << 10);
  EXPECT_EQ(one[2].thread_read_bytes, 16 << 20);
  EXPECT_EQ(one[3].level, "memory");
  EXPECT_EQ(one[3].capacity_bytes, 0);
  EXPECT_EQ(one[3].thread_read_bytes, 128 << 20);
  const auto four = plan_levels(caches, 4, std::int64_t{1} << 40);
  EXPECT_EQ(four[0].capacity_bytes, 96 << 10);  // Two instances, two threads each.
  EXPECT_EQ(four[0].thread_read_bytes, 12 << 10);
  EXPECT_EQ(four[2].capacity_bytes, 32 << 20);
  EXPECT_EQ(four[2].thread_read_bytes, 4 << 20);
  EXPECT_EQ(four[3].thread_read_bytes, 32 << 20);
}

TEST(LevelPlans, StayWithinTheMemoryLimitAndKnowMachinesWithoutCaches) {
  const auto limited = plan_levels({{3, 512 << 20, 64}}, 2, 64 << 20);
  EXPECT_EQ(limited.back().thread_read_bytes, 32 << 20);
  const auto unknown = plan_levels({}, 1, std::int64_t{1} << 40);
  ASSERT_EQ(unknown.size(), 1U);
  EXPECT_EQ(unknown[0].level, "memory");
  EXPECT_EQ(unknown[0].thread_read_bytes, 32 << 20);
  for (const LevelPlan& level : plan_levels({{1, 48 << 10, 3}}, 3, 1 << 20)) {
    EXPECT_EQ(level.thread_read_bytes % 512, 0);
  }
}

TEST(CeilingLoops, DoTheWorkThatIsCounted) {
  constexpr std::size_t kCount = 1024;
  FloatBuffer from(kCount), to(kCount);
  for (std::size_t i = 0; i < kCount; ++i) from.data()[i] = -static_cast<float>(i % 7);
  for (const bool streaming : {false, true}) {
    std::fill(to.span().begin(), to.span().end(), 1.0F);
    kernels::copy_loop(to.data(), from.data(), kCount, 1, streaming);
    for (std::size_t i = 0; i < kCount; ++i) ASSERT_EQ(to.data()[i], from.data()[i]);
  }
  // Each lane tends to 1 under x/2 + 1/2, and the loop adds up its streams.
  EXPECT_NEAR(kernels::fma_loop(200), static_cast<float>(kernels::kFmaStreams), 1e-4);
  EXPECT_TRUE(std::isfinite(kernels::exp_loop(from.data(), kCount, 2)));
  EXPECT_TRUE(std::isfinite(kernels::read_loop(from.data(), kCount, 2)));
}

TEST(MeasureCeilings, GivesFiguresForEveryThreadCountAndLevel) {
  const std::vector<DataCache> caches{{1, 32 << 10, 1}, {2, 1 << 20, 1}};
  const Ceilings c = measure_ceilings({1, 1}, caches, 0.05);
  EXPECT_EQ(c.isa, kernels::active_isa());
  ASSERT_EQ(c.compute.size(), 1U);  // The repeated thread count is measured once.
  EXPECT_EQ(c.compute[0].threads, 1);
  // Plausible for anything that can run this: between 10 MFLOP/s and 10 TFLOP/s a thread.
  EXPECT_GT(c.compute[0].flops_per_s, 1e7);
  EXPECT_LT(c.compute[0].flops_per_s, 1e13);
  EXPECT_GT(c.compute[0].exp_per_s, 1e6);
  EXPECT_LT(c.compute[0].exp_per_s, c.compute[0].flops_per_s);
  ASSERT_EQ(c.bandwidth.size(), 3U);
  EXPECT_EQ(c.bandwidth[0].level, "L1");
  EXPECT_EQ(c.bandwidth[1].level, "L2");
  EXPECT_EQ(c.bandwidth[2].level, "memory");
  for (const BandwidthCeiling& level : c.bandwidth) {
    EXPECT_GT(level.read_bytes_per_s, 1e6);
    EXPECT_LT(level.read_bytes_per_s, 1e13);
    EXPECT_GT(level.copy_bytes_per_s, 1e6);
  }
}

TEST(MeasureFma, WorksOnTheThreadsItIsGiven) {
  kernels::ThreadArena arena(1);
  const double rate = measure_fma_flops_per_s(arena, 0.005);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e13);
}

}  // namespace
}  // namespace attnbench
