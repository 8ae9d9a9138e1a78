#include "analyse/exact_check.h"

#include <gtest/gtest.h>

#include "analyse/compare.h"

namespace attnbench::analyse {
namespace {

ExactCell cell(ExactMetric metric, std::optional<double> base, std::optional<double> head) {
  ExactCell made;
  made.metric = metric;
  made.axes.variant = "flash";
  made.base = base;
  made.head = head;
  return made;
}

CheckRow judged(const ExactCell& cell, const ExactSettings& settings = {}) {
  CheckReport report;
  add_exact_rows({&cell, 1}, settings, report);
  return report.rows.at(0);
}

TEST(ExactCheck, InstructionsMayGrowByTheirMarginAndNoMore) {
  const auto verdict = [](double head) {
    return judged(cell(ExactMetric::instructions, 1e6, head)).verdict;
  };
  EXPECT_EQ(verdict(1000000), CheckVerdict::pass);
  EXPECT_EQ(verdict(1010000), CheckVerdict::pass);
  EXPECT_EQ(verdict(1010001), CheckVerdict::regression);
  EXPECT_EQ(verdict(990000), CheckVerdict::pass);
  EXPECT_EQ(verdict(989999), CheckVerdict::improved);
}

TEST(ExactCheck, AByteMoreOfWorkspaceFails) {
  const auto row = judged(cell(ExactMetric::workspace, 4096, 4097));
  EXPECT_EQ(row.verdict, CheckVerdict::regression);
  EXPECT_EQ(row.reason, "1 more; accepted: 0%");
  EXPECT_EQ(row.metric, "workspace");
  EXPECT_EQ(row.unit, "bytes");
  EXPECT_DOUBLE_EQ(*row.ratio, 4097.0 / 4096);
  EXPECT_EQ(judged(cell(ExactMetric::workspace, 4096, 4096)).verdict, CheckVerdict::pass);
  EXPECT_EQ(judged(cell(ExactMetric::workspace, 4096, 4095)).verdict, CheckVerdict::improved);
}

TEST(ExactCheck, FromNothingToSomethingHasNoRatioAndFails) {
  const auto row = judged(cell(ExactMetric::workspace, 0, 64));
  EXPECT_EQ(row.verdict, CheckVerdict::regression);
  EXPECT_FALSE(row.ratio.has_value());
  EXPECT_EQ(judged(cell(ExactMetric::workspace, 0, 0)).verdict, CheckVerdict::pass);
}

TEST(ExactCheck, LostCellsFailAndNewOnesDoNot) {
  ExactCell lost = cell(ExactMetric::instructions, 1e6, std::nullopt);
  EXPECT_EQ(judged(lost).verdict, CheckVerdict::missing);
  lost.head_tried = true;
  lost.reason = "wrong result";
  EXPECT_EQ(judged(lost).verdict, CheckVerdict::failed);
  EXPECT_EQ(judged(lost).reason, "wrong result");
  EXPECT_EQ(judged(cell(ExactMetric::instructions, std::nullopt, 1e6)).verdict,
            CheckVerdict::added);
}

TEST(ExactCheck, MarginsAreSettingsAndFigures) {
  const ExactSettings settings{0.05, 0.1};
  const std::vector<ExactCell> cells{cell(ExactMetric::workspace, 100, 110),
                                     cell(ExactMetric::instructions, 100, 106)};
  CheckReport report;
  add_exact_rows(cells, settings, report);
  ASSERT_EQ(report.rows.size(), 2u);
  EXPECT_EQ(report.rows[0].verdict, CheckVerdict::regression);
  EXPECT_EQ(report.rows[0].metric, "instructions");
  EXPECT_EQ(report.rows[1].verdict, CheckVerdict::pass);
  const std::vector<std::pair<std::string, double>> figures{{"instructions_margin", 0.05},
                                                            {"workspace_margin", 0.1}};
  EXPECT_EQ(report.figures, figures);
  conclude(report);
  EXPECT_EQ(report.exit_code, 1);
}

}  // namespace
}  // namespace attnbench::analyse
