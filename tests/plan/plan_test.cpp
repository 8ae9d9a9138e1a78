// Crossing axes, skips, groups, predictions.
#include "plan/plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "config/fake_variants.h"
#include "plan/predict.h"

namespace attnbench {
namespace {

constexpr double kUnlimited = 1e18;

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() { testing::add_fakes(registry_); }

  SweepPlan plan(const std::string& toml, double limit = kUnlimited) const {
    const auto config = parse_sweep_config(toml, "p.toml", {}, {}, registry_, 2);
    EXPECT_TRUE(config) << (config ? "" : config.error().message);
    return make_plan(config ? *config : SweepConfig{}, registry_, rates_, limit);
  }

  Registry registry_;
  PlanRates rates_;
};

std::string label(const Case& cell) {
  return std::to_string(cell.group) + " " + cell.variant->info().name + " " +
         cell.params.canonical() + " N=" + std::to_string(cell.problem.seq_q) +
         " T=" + std::to_string(cell.threads);
}

TEST_F(PlanTest, CrossesAxesInTheDocumentedOrder) {
  const SweepPlan sweep = plan(
      "variants = [\"local\", \"flash\"]\nseq = [64, 32]\nthreads = [2, 1]\n"
      "[param.local]\nleft = [8, 4]\nright = 0\n");
  std::vector<std::string> labels;
  for (const Case& cell : sweep.cases) labels.push_back(label(cell));
  EXPECT_EQ(labels,
            (std::vector<std::string>{
                "0 local left=8;right=0 N=64 T=2", "0 local left=8;right=0 N=64 T=1",
                "0 local left=4;right=0 N=64 T=2", "0 local left=4;right=0 N=64 T=1",
                "0 flash  N=64 T=2", "0 flash  N=64 T=1", "1 local left=8;right=0 N=32 T=2",
                "1 local left=8;right=0 N=32 T=1", "1 local left=4;right=0 N=32 T=2",
                "1 local left=4;right=0 N=32 T=1", "1 flash  N=32 T=2", "1 flash  N=32 T=1"}));
  EXPECT_EQ(sweep.runnable(), 12);
}

TEST_F(PlanTest, EveryAxisIsCrossedOnceAndGroupsAreProblemAndInput) {
  const SweepPlan sweep = plan(
      "variants = [\"flash\", \"full\"]\nthreads = [1, 2]\nseq = [16, 32]\nseq-k = [16, 48]\n"
      "batch = [1, 2]\nheads = [2, 4]\nkv-heads = [1, 2]\ndim = [8, 16]\ndim-v = [8, 24]\n"
      "causal = [false, true]\npass = [\"fwd\", \"fwd+bwd\"]\ninput = [\"gaussian\", "
      "\"sink\"]\n");
  const int axes = 10;  // Two values each, apart from variants and threads.
  EXPECT_EQ(sweep.cases.size(), (std::size_t{1} << axes) * 4);
  std::set<std::string> distinct;
  int last_group = -1;
  std::string last_key;
  for (const Case& cell : sweep.cases) {
    const std::string key =
        cell.problem.describe() + std::string(to_string(cell.problem.pass)) + cell.input;
    distinct.insert(key + label(cell));
    EXPECT_TRUE(cell.group == last_group ? key == last_key : key != last_key);
    EXPECT_TRUE(cell.group == last_group || cell.group == last_group + 1);
    last_group = cell.group;
    last_key = key;
  }
  EXPECT_EQ(distinct.size(), sweep.cases.size());
  EXPECT_EQ(last_group, (1 << axes) - 1);
}

TEST_F(PlanTest, ModesGiveTheLengths) {
  const auto lengths = [&](const std::string& toml) {
    std::vector<std::string> result;
    for (const Case& cell : plan("variants = \"flash\"\nthreads = 1\n" + toml).cases) {
      result.push_back(std::string(to_string(cell.problem.mode)) + " " +
                       std::to_string(cell.problem.seq_q) + "x" +
                       std::to_string(cell.problem.seq_k));
    }
    return result;
  };
  using Lengths = std::vector<std::string>;
  EXPECT_EQ(lengths("seq = [8, 16]"), (Lengths{"self 8x8", "self 16x16"}));
  EXPECT_EQ(lengths("seq = [8, 16]\nseq-k = [8, 4]"),
            (Lengths{"self 8x8", "cross 8x4", "cross 16x8", "cross 16x4"}));
  EXPECT_EQ(lengths("mode = \"cross\"\nseq = [8, 16]"), (Lengths{"cross 8x8", "cross 16x16"}));
  EXPECT_EQ(lengths("mode = \"decode\"\nseq = [8, 16]"), (Lengths{"decode 1x8", "decode 1x16"}));
  EXPECT_EQ(lengths("mode = \"decode\"\nseq = 8\nseq-q = 3\ncausal = true"),
            (Lengths{"decode 3x8"}));
}

TEST_F(PlanTest, WhatCannotRunIsSkippedWithItsReason) {
  const auto reasons = [&](const std::string& toml) {
    std::vector<std::string> result;
    for (const Case& cell : plan("threads = 1\nseq = 16\n" + toml).cases) {
      result.push_back(cell.skip.value_or("runs"));
    }
    return result;
  };
  using Reasons = std::vector<std::string>;
  EXPECT_EQ(reasons("variants = \"flash\"\nheads = [6, 8]\nkv-heads = [3, 4]"),
            (Reasons{"runs", "heads 6 is not a multiple of kv-heads 4",
                     "heads 8 is not a multiple of kv-heads 3", "runs"}));
  EXPECT_EQ(reasons("variants = \"linformer,flash\"\ncausal = [false, true]"),
            (Reasons{"runs", "runs", "linformer has no causal form", "runs"}));
  EXPECT_EQ(reasons("variants = \"flash\"\npass = \"fwd,fwd+bwd\""),
            (Reasons{"runs", "no variant has a backward pass"}));
  EXPECT_EQ(reasons("variants = \"flash\"\nmode = \"decode\"\nseq-q = 17"),
            (Reasons{"decode: 17 queries do not fit a key length of 16"}));
  EXPECT_EQ(reasons("variants = \"flash\"\nmode = \"generate\""),
            (Reasons{"no variant has a generate mode"}));
}

TEST_F(PlanTest, AxesOfTheConfigurationReachTheCases) {
  const SweepPlan sweep = plan(
      "variants = \"flash\"\nseq = 16\nthreads = 1\nscale = 0.5\nlayout = \"bnhd\"\n"
      "cache = \"cold\"\nheads = 6\ndim = 24\ninput = \"sink\"\n");
  ASSERT_EQ(sweep.cases.size(), 1u);
  const Case& cell = sweep.cases[0];
  EXPECT_EQ(cell.problem.scale, 0.5);
  EXPECT_EQ(cell.problem.layout, Layout::bnhd);
  EXPECT_EQ(cell.cache, CacheState::cold);
  EXPECT_EQ(cell.problem.heads_kv, 6);
  EXPECT_EQ(cell.problem.dim_v, 24);
  EXPECT_EQ(cell.input, "sink");
  EXPECT_EQ(cell.laws.time, "N^2");
}

TEST_F(PlanTest, MemoryIsTensorsReferenceAndWorkspaceOfTheThreads) {
  const SweepPlan sweep = plan("variants = \"full\"\nseq = 512\nheads = 4\nthreads = [1, 2]\n");
  ASSERT_EQ(sweep.cases.size(), 2u);
  const double tensors = 4.0 * 4 * 512 * (64 + 64 + 64 + 64);
  // All 2048 rows: 2048 * 512 * 128 multiply-adds are below the bound of 2e8.
  const double reference = 8.0 * (2 * 2048 * 64 + 512);
  const double scores = 4.0 * 512 * 512;
  EXPECT_DOUBLE_EQ(sweep.cases[0].predicted_bytes, tensors + reference + scores);
  EXPECT_DOUBLE_EQ(sweep.cases[1].predicted_bytes, tensors + reference + 2 * scores);
  EXPECT_DOUBLE_EQ(sweep.predicted_peak_bytes, sweep.cases[1].predicted_bytes);
}

TEST_F(PlanTest, CellsOverTheLimitAreSkippedWithBothFigures) {
  const std::string toml = "variants = \"full\"\nseq = 512\nheads = 4\nthreads = [1, 2]\n";
  const SweepPlan all = plan(toml);
  const double limit = all.cases[0].predicted_bytes;
  const SweepPlan limited = plan(toml, limit);
  EXPECT_FALSE(limited.cases[0].skip);
  EXPECT_EQ(limited.cases[1].skip, "needs 6.0 MiB, more than the memory limit of 5.0 MiB");
  EXPECT_DOUBLE_EQ(limited.predicted_peak_bytes, limit);
  const SweepPlan tiny = plan(toml, 1048576);
  EXPECT_EQ(tiny.cases[0].skip,
            "the tensors alone need 4.0 MiB, more than the memory limit of 1.0 MiB");
  EXPECT_EQ(tiny.runnable(), 0);
  EXPECT_EQ(tiny.predicted_time_s, 0);
}

TEST_F(PlanTest, SizesBeyondAnyMemoryAreSkippedNotOverflowed) {
  const SweepPlan sweep = plan(
      "variants = \"full\"\nseq = \"16m\"\nheads = 4096\ndim = 8192\nbatch = 65536\nthreads = 1\n",
      64e9);
  ASSERT_EQ(sweep.cases.size(), 1u);
  ASSERT_TRUE(sweep.cases[0].skip);
  EXPECT_TRUE(sweep.cases[0].skip->starts_with("the tensors alone need ")) << *sweep.cases[0].skip;
  EXPECT_GT(sweep.cases[0].predicted_bytes, 1e20);
}

TEST_F(PlanTest, AColdCacheHoldsCopiesOfTheInputs) {
  PlanRates rates;
  rates.last_level_cache_bytes = 1e6;
  Problem problem;
  problem.heads_q = problem.heads_kv = 1;
  problem.seq_q = problem.seq_k = 100;
  problem.dim_qk = problem.dim_v = 10;
  const double inputs = 4.0 * 3 * 100 * 10, output = 4.0 * 100 * 10;
  EXPECT_DOUBLE_EQ(plan::tensor_bytes(problem, CacheState::hot, rates), inputs + output);
  EXPECT_DOUBLE_EQ(plan::tensor_bytes(problem, CacheState::cold, rates),
                   inputs + 167 * inputs + output);  // 167 = ceil(2e6 / 12000)
}

TEST_F(PlanTest, ReferenceRowsAreBounded) {
  Problem problem;
  problem.heads_q = problem.heads_kv = 8;
  problem.seq_q = problem.seq_k = 4096;
  EXPECT_LE(plan::reference_macs(problem), 2e8);
  EXPECT_GT(plan::reference_macs(problem), 1.9e8);
  problem.seq_q = problem.seq_k = 1 << 24;
  EXPECT_DOUBLE_EQ(plan::reference_macs(problem), 16.0 * (1 << 24) * 128);
  problem.seq_q = 1;
  problem.seq_k = 1;
  EXPECT_DOUBLE_EQ(plan::reference_macs(problem), 8 * 128);
}

TEST_F(PlanTest, HotAndColdCasesShareAGroupAndItsMemory) {
  const std::string toml = "variants = \"flash\"\nseq = 16\nthreads = [1, 2]\n";
  const SweepPlan both = plan(toml + "cache = [\"hot\", \"cold\"]\n");
  ASSERT_EQ(both.cases.size(), 4u);
  EXPECT_EQ(both.cases[0].cache, CacheState::hot);
  EXPECT_EQ(both.cases[1].cache, CacheState::cold);
  EXPECT_EQ(both.cases[1].threads, 1);
  EXPECT_EQ(both.cases[3].group, 0);
  EXPECT_DOUBLE_EQ(both.cases[0].predicted_bytes, both.cases[1].predicted_bytes);
  const SweepPlan cold = plan(toml + "cache = \"cold\"\n");
  EXPECT_GT(both.cases[0].predicted_bytes, cold.cases[0].predicted_bytes);
  EXPECT_GT(cold.cases[0].predicted_bytes, plan(toml).cases[0].predicted_bytes);
}

/// A capture of 4 query and 2 key-value heads, D = 8, over 100 positions; its values do not matter.
CaptureSet one_capture() {
  auto capture = std::make_shared<Capture>();
  capture->text = "file:x.safetensors";
  capture->label = "file:x.safetensors#01234567";
  Problem& shape = capture->shape;
  shape.heads_q = 4;
  shape.heads_kv = 2;
  shape.dim_qk = shape.dim_v = 8;
  shape.seq_q = shape.seq_k = 100;
  capture->tensors = draw_inputs(shape, "gaussian", 1);
  return {{capture->text, capture}};
}

SweepPlan plan_with(const Registry& registry, const std::string& toml, const CaptureSet& captures) {
  const auto config = parse_sweep_config(toml, "p.toml", {}, {}, registry, 2);
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  return make_plan(config ? *config : SweepConfig{}, registry, PlanRates{}, kUnlimited, captures);
}

TEST_F(PlanTest, RecordedInputsHaveTheShapeOfTheirFileBesideDrawnOnes) {
  const SweepPlan sweep = plan_with(registry_,
                                    "variants = \"flash\"\nthreads = 1\nseq = [64, 128]\n"
                                    "heads = [2, 3]\ndim = [16, 32]\ncausal = [false, true]\n"
                                    "input = [\"gaussian\", \"file:x.safetensors\"]\n",
                                    one_capture());
  int drawn = 0, recorded = 0, too_long = 0;
  for (const Case& cell : sweep.cases) {
    if (!cell.capture) {
      EXPECT_EQ(cell.input, "gaussian");
      EXPECT_FALSE(cell.skip);
      ++drawn;
      continue;
    }
    ++recorded;
    EXPECT_EQ(cell.input, "file:x.safetensors#01234567");
    EXPECT_EQ(cell.problem.heads_q, 4);
    EXPECT_EQ(cell.problem.heads_kv, 2);
    EXPECT_EQ(cell.problem.dim_qk, 8);
    if (!cell.skip) {
      EXPECT_GT(cell.predicted_bytes, cell.capture->bytes());
      continue;
    }
    ++too_long;
    EXPECT_EQ(cell.problem.seq_q, 128);
    EXPECT_EQ(*cell.skip, "128 queries asked for, file:x.safetensors#01234567 has 100");
  }
  EXPECT_EQ(drawn, 2 * 2 * 2 * 2) << "heads, dim, causal, seq";
  EXPECT_EQ(recorded, 2 * 2) << "causal, seq: once, whatever the other axes";
  EXPECT_EQ(too_long, 2);
}

TEST_F(PlanTest, RecordedInputsAreCutForEachCase) {
  const CaptureSet captures = one_capture();
  const SweepPlan sweep = plan_with(registry_,
                                    "variants = \"flash\"\nthreads = 1\nseq = 10\nlayout = "
                                    "\"bnhd\"\ninput = \"file:x.safetensors\"\n",
                                    captures);
  ASSERT_EQ(sweep.cases.size(), 1u);
  const InputTensors inputs = make_inputs(sweep.cases[0], 1);
  const InputTensors& whole = captures.begin()->second->tensors;
  EXPECT_EQ(inputs.q.shape(), (std::array<std::int64_t, 4>{1, 4, 10, 8}));
  EXPECT_EQ(inputs.k.view().at(0, 1, 9, 3), whole.k.view().at(0, 1, 9, 3));
  EXPECT_EQ(inputs.q.view().stride, layout_strides({1, 4, 10, 8}, Layout::bnhd));
}

TEST_F(PlanTest, RecordedInputsThatWereNotLoadedAreSkipped) {
  const SweepPlan sweep = plan_with(
      registry_, "variants = \"flash\"\nthreads = 1\nseq = 10\ninput = \"file:x.safetensors\"\n",
      {});
  ASSERT_EQ(sweep.cases.size(), 1u);
  EXPECT_EQ(sweep.cases[0].skip, "the recorded inputs were not loaded");
}

TEST(CallTime, IsTheSlowerOfComputeAndTraffic) {
  PlanRates rates;
  rates.flops_per_s_per_thread = 1e9;
  rates.exp_per_s_per_thread = 1e8;
  rates.bytes_per_s = 1e9;
  Cost cost;
  cost.performed_flops = 4e9;
  cost.exp_count = 2e8;
  cost.traffic_bytes = 2.5e9;
  EXPECT_DOUBLE_EQ(plan::call_time_s(cost, 1, rates), 6);
  EXPECT_DOUBLE_EQ(plan::call_time_s(cost, 2, rates), 3);
  EXPECT_DOUBLE_EQ(plan::call_time_s(cost, 4, rates), 2.5);
  // In float64, half the rates.
  cost.float64_flops = 1e9;
  cost.float64_exps = 1e8;
  EXPECT_DOUBLE_EQ(plan::call_time_s(cost, 1, rates), 8);
}

TEST_F(PlanTest, TotalTimeIsLimitedByTheBudget) {
  EXPECT_DOUBLE_EQ(plan::sampling_time_s(0.5, 200), 0.5 + 21 * 0.5);
  EXPECT_DOUBLE_EQ(plan::sampling_time_s(0.5, 4), 0.5 + 5 * 0.5);
  EXPECT_DOUBLE_EQ(plan::sampling_time_s(1e-6, 200), 1e-6 + 21 * 5e-3);
  const std::string toml = "variants = \"flash,full\"\nseq = 512\nthreads = [1, 2]\nheads = 1\n";
  const SweepPlan ample = plan(toml + "budget = \"1h\"");
  const SweepPlan tight = plan(toml + "budget = 0.1");
  // Three references: softmax attention, and one of each variant for both of its thread counts.
  double expected = 3 * plan::reference_macs(ample.cases[0].problem) / rates_.reference_macs_per_s;
  for (const Case& cell : ample.cases) {
    expected += plan::sampling_time_s(cell.predicted_time_s, 200);
  }
  EXPECT_DOUBLE_EQ(ample.unlimited_time_s, expected);
  EXPECT_DOUBLE_EQ(ample.predicted_time_s, expected);
  EXPECT_DOUBLE_EQ(tight.unlimited_time_s, expected);
  EXPECT_DOUBLE_EQ(tight.predicted_time_s, 0.1);
}

TEST_F(PlanTest, TheGateConfigurationHas24Cells) {
  const auto config = load_sweep_config(std::string(ATTNBENCH_SOURCE_DIR) + "/configs/ci.toml", {},
                                        {}, registry_, 2);
  ASSERT_TRUE(config) << config.error().message;
  const SweepPlan sweep = make_plan(*config, registry_, rates_, kUnlimited);
  EXPECT_EQ(sweep.cases.size(), 24u);
  EXPECT_EQ(sweep.runnable(), 24);
  EXPECT_EQ(sweep.budget_s, 180);
}

TEST_F(PlanTest, TheQuickstartMeasuresSixVariantsWithinAMinute) {
  const auto config = load_sweep_config(
      std::string(ATTNBENCH_SOURCE_DIR) + "/configs/quickstart.toml", {}, {}, registry_, 2);
  ASSERT_TRUE(config) << config.error().message;
  const SweepPlan sweep = make_plan(*config, registry_, rates_, kUnlimited);
  EXPECT_EQ(sweep.cases.size(), 6u * 5 * 2);
  EXPECT_LE(sweep.predicted_time_s, 60);
  for (const Case& cell : sweep.cases) EXPECT_EQ(cell.problem.heads_q, 4);
}

}  // namespace
}  // namespace attnbench
