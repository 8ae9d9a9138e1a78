#include <gtest/gtest.h>

#include "analyse/gate_report.h"

namespace attnbench::analyse {
namespace {

/// A gate of two cells, the first of which is slower.
struct Gate {
  GateSettings settings;
  GateResult result;
  GateStory story;

  Gate() {
    result.cells.resize(2);
    result.cells[0].verdict = CellVerdict::fail;
    result.cells[0].estimate = 0.1;
    result.cells[1].verdict = CellVerdict::pass;
    result.aa.ran = result.positive.ran = true;
    for (std::size_t i = 0; i < 2; ++i) {
      GateCell cell;
      cell.outcome = i;
      story.cells.push_back(cell);
    }
  }

  CheckReport accepted(std::initializer_list<std::size_t> rows) const {
    CheckReport report = gate_report(settings, result, story);
    EXPECT_NE(report.exit_code, 0);
    for (const std::size_t row : rows) report.rows.at(row).verdict = CheckVerdict::accepted;
    conclude_gate(result, report);
    return report;
  }
};

TEST(GateAccept, NothingAcceptedChangesNothing) {
  Gate gate;
  const CheckReport before = gate_report(gate.settings, gate.result, gate.story);
  const CheckReport after = gate.accepted({});
  EXPECT_EQ(after.exit_code, 1);
  EXPECT_EQ(after.outcome, before.outcome);
  EXPECT_EQ(after.outcome, "REGRESSION: 1 cell slower");
}

TEST(GateAccept, AnAcceptedRegressionPasses) {
  const CheckReport report = Gate().accepted({0});
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.outcome, "PASS");
}

TEST(GateAccept, AnotherRegressionStillFails) {
  Gate gate;
  gate.result.cells[1].verdict = CellVerdict::fail;
  EXPECT_EQ(gate.accepted({0}).outcome, "REGRESSION: 1 cell slower");
}

TEST(GateAccept, TheMeanOverAllCellsIsAcceptedByItself) {
  Gate gate;
  gate.result.mean_tested = gate.result.mean_failed = true;
  EXPECT_EQ(gate.accepted({0}).outcome, "REGRESSION: all cells together slower");
  EXPECT_EQ(gate.accepted({2}).outcome, "REGRESSION: 1 cell slower");
  EXPECT_EQ(gate.accepted({0, 2}).exit_code, 0);
}

TEST(GateAccept, ControlsAndNoiseCannotBeAcceptedAway) {
  Gate blind;
  blind.result.positive.as_expected = false;
  EXPECT_EQ(blind.accepted({0}).exit_code, 3);
  Gate noisy;
  noisy.result.too_noisy = true;
  EXPECT_EQ(noisy.accepted({0}).exit_code, 3);
  Gate tripped;
  tripped.result.aa.as_expected = false;
  EXPECT_EQ(tripped.accepted({0}).exit_code, 4);
}

}  // namespace
}  // namespace attnbench::analyse
