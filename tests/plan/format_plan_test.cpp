// The text of --dry-run, to the byte.
#include <gtest/gtest.h>

#include "config/fake_variants.h"
#include "plan/plan.h"

namespace attnbench {
namespace {

std::string dry_run(const std::string& toml, double limit) {
  Registry registry;
  testing::add_fakes(registry);
  const auto config = parse_sweep_config(toml, "p.toml", {}, {}, registry, 2);
  if (!config) return config.error().message;
  return format_plan(make_plan(*config, registry, PlanRates{}, limit));
}

TEST(FormatPlan, ShowsCellsSkipsAndTotals) {
  const std::string text = dry_run(
      "variants = \"linformer,local\"\nseq = [256, 4096]\nthreads = 1\nheads = 2\n"
      "causal = [false, true]\nbudget = \"1s\"\n",
      64.0 * 1048576);
  EXPECT_EQ(
      text,
      R"(all cells: mode=self pass=fwd layout=bhnd cache=hot input=gaussian batch=1 heads=2 kv-heads=2 dim=64 dim-v=64 mask=none position=none

group  variant    params              causal   Nq   Nk  threads  one call   memory
    0  linformer  rank=128            off     256  256        1   1.81 ms  1.3 MiB
    0  local      left=128;right=128  off     256  256        1   1.81 ms  1.3 MiB
    2  local      left=128;right=128  on      256  256        1  907.9 us  1.3 MiB

skipped:
group  variant    params              causal    Nq    Nk  threads  reason
    1  linformer  rank=128            off     4096  4096        1  needs 72.4 MiB, more than the memory limit of 64.0 MiB
    1  local      left=128;right=128  off     4096  4096        1  needs 72.4 MiB, more than the memory limit of 64.0 MiB
    2  linformer  rank=128            on       256   256        1  linformer has no causal form
    3  linformer  rank=128            on      4096  4096        1  linformer has no causal form
    3  local      left=128;right=128  on      4096  4096        1  needs 72.4 MiB, more than the memory limit of 64.0 MiB

8 cells in 4 groups: 3 to run, 5 skipped
predicted time: 389.43 ms (budget 1.0 s)
predicted memory: 1.3 MiB (limit 64.0 MiB)
)");
}

TEST(FormatPlan, SaysWhenTheBudgetCutsAndWhenNothingRuns) {
  const std::string cut = dry_run("seq = 4096\nbudget = \"1s\"", 1e18);
  EXPECT_NE(cut.find("predicted time: 1.0 s (the budget; "), std::string::npos) << cut;
  EXPECT_EQ(cut.find("skipped:"), std::string::npos) << cut;
  const std::string nothing = dry_run("seq = 4096\nthreads = 1\nvariants = \"flash\"", 1);
  EXPECT_NE(nothing.find("1 cells in 1 groups: 0 to run, 1 skipped\n"), std::string::npos)
      << nothing;
  EXPECT_EQ(nothing.find("one call"), std::string::npos) << nothing;
  EXPECT_EQ(format_plan(SweepPlan{}), "0 cells: nothing to run\n");
}

}  // namespace
}  // namespace attnbench
