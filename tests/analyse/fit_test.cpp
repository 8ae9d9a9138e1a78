#include "analyse/fit.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "analyse/fit_output.h"
#include "analyse/synthetic.h"
#include "record/csv.h"

namespace attnbench::analyse {
namespace {

using testing::row;

/// full and a linear variant that this build does not know, 256..16384, one and two threads.
std::vector<Record> example() {
  std::vector<Record> rows;
  for (std::int64_t n = 256; n <= 16384; n *= 2) {
    const auto x = static_cast<double>(n);
    for (const int threads : {1, 2}) {
      Record full = row("full", n, (1e-5 + 1e-9 * x * x) / (threads == 2 ? 1.9 : 1), threads);
      full.performed_flops = 256 * x * x;
      full.workspace_law = "N^2";
      full.workspace_peak_bytes = full.workspace_model_bytes = 4 * n * n * threads;
      full.error_rel_l2 = 3e-7;
      full.min_bytes = 1024 * x;
      rows.push_back(full);
      Record other =
          row("my \"own\", one", n, (1e-4 + 5e-7 * x) / (threads == 2 ? 1.8 : 1), threads);
      other.axes.exactness = "approximate";
      other.time_law = "N";
      other.workspace_peak_bytes = 0;
      other.error_rel_l2 = 0.25;
      rows.push_back(other);
    }
  }
  return rows;
}

TEST(AnalyseRun, JsonHasTheDocumentedKeys) {
  const auto json = nlohmann::json::parse(fit_json(analyse_run(example(), {}, nullptr)));
  ASSERT_EQ(json.size(), 4u);
  ASSERT_EQ(json["series"].size(), 4u);
  const auto& full = json["series"][0];
  EXPECT_EQ(full["variant"], "full");
  EXPECT_EQ(full["threads"], 1);
  EXPECT_EQ(full["problem"], "B=1 H=4 D=64 avx2");
  EXPECT_EQ(full["params"], "");
  for (const char* quantity : {"time", "workspace"}) {
    for (const char* key :
         {"exponent", "ci_low", "ci_high", "law", "law_weight", "declared", "verdict"}) {
      ASSERT_TRUE(full[quantity].contains(key)) << key;
      EXPECT_FALSE(full[quantity][key].is_null()) << key;
    }
    EXPECT_EQ(full[quantity]["law"], "N^2");
    EXPECT_EQ(full[quantity]["verdict"], "agrees");
  }
  EXPECT_EQ(full["time"]["cost"]["column"], "performed_flops");
  const auto& other = json["series"][1];
  EXPECT_EQ(other["variant"], "my \"own\", one");
  EXPECT_EQ(other["time"]["law"], "N");
  EXPECT_EQ(other["workspace"]["law"], "1") << "none at any length";
  EXPECT_EQ(other["workspace"]["exponent"], 0);

  ASSERT_EQ(json["crossovers"].size(), 2u);
  const auto& crossing = json["crossovers"][0];
  EXPECT_EQ(crossing["a"], "full");
  EXPECT_EQ(crossing["verdict"], "crossover");
  EXPECT_LT(crossing["ci_low"], crossing["seq"]);
  EXPECT_GT(crossing["ci_high"], crossing["seq"]);
  for (const char* key : {"b", "threads", "problem"}) EXPECT_TRUE(crossing.contains(key)) << key;

  ASSERT_EQ(json["scaling"].size(), 14u);
  EXPECT_NEAR(json["scaling"][0]["speedup"], 1.9, 1e-3);
  EXPECT_NEAR(json["scaling"][0]["efficiency"], 0.95, 1e-3);
  EXPECT_EQ(json["scaling"][0]["best_threads"], 2);
  for (const char* key :
       {"variant", "seq", "serial_fraction", "serial_fraction_ci_low", "serial_fraction_ci_high"}) {
    EXPECT_TRUE(json["scaling"][0].contains(key)) << key;
  }
  EXPECT_EQ(json["pareto"].size(), 14u);
  EXPECT_EQ(json["pareto"][0]["points"].size(), 2u);
}

TEST(AnalyseRun, CsvHasARowPerSeriesAndQuantity) {
  const std::string text = fit_csv(analyse_run(example(), {}, nullptr));
  CsvReader reader(text, "fit.csv", CsvReader::TornRow::accept);
  std::vector<std::string> cells;
  int rows = 0;
  while (true) {
    const auto more = reader.next(cells);
    ASSERT_TRUE(more) << more.error().message;
    if (!*more) break;
    if (rows == 0) {
      EXPECT_EQ(cells[4], "quantity");
    }
    if (rows == 3) {
      EXPECT_EQ(cells[0], "my \"own\", one");
    }
    ++rows;
  }
  EXPECT_EQ(rows, 9);
}

TEST(AnalyseRun, TheSameTwice) {
  const auto rows = example();
  EXPECT_EQ(fit_json(analyse_run(rows, {}, nullptr)), fit_json(analyse_run(rows, {}, nullptr)));
}

TEST(AnalyseRun, NothingAndNearlyNothing) {
  const auto empty = nlohmann::json::parse(fit_json(analyse_run({}, {}, nullptr)));
  EXPECT_TRUE(empty["series"].empty());
  Record skipped = row("full", 256, 1);
  skipped.status = RowStatus::skipped;
  skipped.time_median_s.reset();
  const std::vector<Record> rows{skipped, row("flash", 256, 1e-3)};
  const auto json = nlohmann::json::parse(fit_json(analyse_run(rows, {}, nullptr)));
  ASSERT_EQ(json["series"].size(), 2u);
  EXPECT_TRUE(json["series"][0]["time"]["exponent"].is_null());
  EXPECT_EQ(json["series"][0]["time"]["law"], "undetermined");
  EXPECT_EQ(json["series"][0]["not_measured"][0]["status"], "skipped");
  EXPECT_EQ(json["series"][1]["time"]["verdict"], "undetermined");
}

TEST(AnalyseRun, ABreakIsNamedByTheCacheThatIsLeft) {
  std::vector<Record> rows;
  for (std::int64_t n = 256; n <= 16384; n *= 2) {
    const auto x = static_cast<double>(n);
    rows.push_back(row("full", n, 1e-9 * x * x * (n > 2048 ? 1.8 : 1)));
    rows.back().min_bytes = 1024 * x;
  }
  Manifest manifest;
  manifest.machine.caches = {{1, "instruction", 3000000, 1},
                             {1, "data", 32768, 1},
                             {2, "unified", 3 << 20, 1},
                             {3, "unified", 64 << 20, 2}};
  const FitReport report = analyse_run(rows, {}, &manifest);
  ASSERT_EQ(report.fits[0].time.breaks.size(), 1u);
  EXPECT_EQ(report.fits[0].time.breaks[0].level, "L2");
  manifest.bandwidth = {{"near", 3500000, 1, 50, 50}, {"far", 0, 1, 10, 10}};
  EXPECT_EQ(analyse_run(rows, {}, &manifest).fits[0].time.breaks[0].level, "near");
}

TEST(AnalyseRun, WorkspaceWithoutAPeakIsTheModels) {
  auto rows = example();
  for (Record& r : rows) r.workspace_peak_bytes.reset();
  const FitReport report = analyse_run(rows, {}, nullptr);
  EXPECT_EQ(report.fits[0].workspace.law, "N^2");
  EXPECT_FALSE(report.fits[0].workspace.cost);
  EXPECT_EQ(report.fits[1].workspace.lengths, 0u);
}

}  // namespace
}  // namespace attnbench::analyse
