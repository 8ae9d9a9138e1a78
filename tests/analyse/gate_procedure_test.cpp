#include "analyse/gate_procedure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "analyse/clopper_pearson.h"
#include "analyse/gate_report.h"

namespace attnbench::analyse {
namespace {

/// What a launch of a cell gives: its log ratio with a little scatter that differs per launch.
double scatter(std::size_t cell, int launch) {
  return 0.004 * std::sin(1.7 * launch + 0.9 * static_cast<double>(cell));
}

struct Script {
  GateSettings settings;
  std::vector<double> slowdown;
  double aa = 0, positive = std::log1p(0.06);
  double cell_s = 0.1, overhead_s = 0.2;
  double amplify = 1;  ///< Of the scatter.
  /// Overrides a value: (stage, launch, cell).
  std::function<std::optional<double>(GateStage, int, std::size_t, double)> change = nullptr;
};

struct Played {
  GateResult result;
  int screen = 0, confirm = 0, extra = 0;
  std::vector<std::size_t> confirmed, extended;
};

Played play(const Script& script) {
  GateProcedure procedure(script.settings, script.slowdown.size(), 0);
  Played played;
  while (const auto request = procedure.next()) {
    LaunchValues values;
    const int launch = request->launch + (request->stage == GateStage::screen ? 0 : 1000);
    for (const std::size_t cell : request->cells) {
      std::optional<double> value = script.slowdown[cell] + script.amplify * scatter(cell, launch);
      if (script.change) value = script.change(request->stage, request->launch, cell, *value);
      values.cells.push_back(value);
      values.cell_seconds.push_back(script.cell_s);
    }
    values.elapsed_s =
        script.overhead_s + script.cell_s * static_cast<double>(request->cells.size());
    if (request->controls) {
      values.aa = script.aa + script.amplify * scatter(77, launch);
      values.positive = script.positive + script.amplify * scatter(78, launch);
    }
    if (request->stage == GateStage::screen) ++played.screen;
    if (request->stage == GateStage::confirm) {
      ++played.confirm;
      played.confirmed = request->cells;
      EXPECT_TRUE(request->controls);
    }
    if (request->stage == GateStage::extra) {
      ++played.extra;
      played.extended = request->cells;
    }
    procedure.feed(values);
  }
  played.result = procedure.result();
  return played;
}

TEST(GateProcedure, NothingChangedPassesWithTheControlsAlone) {
  const Played played = play({.settings = {}, .slowdown = std::vector<double>(4, 0.0)});
  EXPECT_EQ(played.screen, 24);
  EXPECT_EQ(played.confirm, 32);
  EXPECT_TRUE(played.confirmed.empty());
  EXPECT_EQ(gate_exit_code(played.result, {}), 0);
  EXPECT_EQ(gate_exit_code(played.result, {.lost_cells = 1}), 1);
}

TEST(GateProcedure, AChangeIsConfirmedInFreshLaunchesBeforeItFails) {
  // The speed-up keeps the mean of all cells out of this.
  Script script{.settings = {}, .slowdown = {std::log(0.9), std::log1p(0.10), 0, std::log1p(0.01)}};
  Played played = play(script);
  EXPECT_EQ(played.confirmed, std::vector<std::size_t>{1});
  EXPECT_EQ(played.result.cells[1].verdict, CellVerdict::fail);
  EXPECT_GT(played.result.cells[1].low, std::log1p(0.03));
  EXPECT_EQ(played.result.cells[3].verdict, CellVerdict::pass);
  EXPECT_EQ(gate_exit_code(played.result, {}), 1);
  // A slowdown that the fresh launches do not see was chance, or the weather.
  script.change = [](GateStage stage, int, std::size_t, double value) {
    return stage == GateStage::screen ? value : value - std::log1p(0.10);
  };
  played = play(script);
  EXPECT_EQ(played.result.cells[1].verdict, CellVerdict::pass);
  EXPECT_EQ(gate_exit_code(played.result, {}), 0);
}

TEST(GateProcedure, SpeedUpsPassHoweverLarge) {
  const Played played =
      play({.settings = {}, .slowdown = {std::log(0.5), std::log(0.9), std::log(0.99)}});
  EXPECT_EQ(gate_exit_code(played.result, {}), 0);
}

TEST(GateProcedure, TheSeventhSurvivorStaysUnconfirmed) {
  std::vector<double> slowdown;
  for (int i = 0; i < 7; ++i) slowdown.push_back(std::log1p(0.04 - 0.001 * i));
  // Speed-ups hold the mean back.
  for (int i = 0; i < 7; ++i) slowdown.push_back(std::log(0.9));
  const Played played = play({.settings = {}, .slowdown = slowdown});
  EXPECT_EQ(played.confirmed.size(), 6u);
  EXPECT_EQ(played.result.cells[6].verdict, CellVerdict::unconfirmed);
  EXPECT_FALSE(played.result.cells[6].reason.empty());
}

TEST(GateProcedure, AUniformSlowdownBelowEveryCellsMarginFailsTheMean) {
  const Played played =
      play({.settings = {}, .slowdown = std::vector<double>(8, std::log1p(0.018))});
  EXPECT_TRUE(played.result.mean_failed);
  EXPECT_TRUE(played.confirmed.empty());
  EXPECT_EQ(gate_exit_code(played.result, {}), 1);
}

TEST(GateProcedure, ATooNoisyMachineStopsAfterTheScreen) {
  const Played played =
      play({.settings = {}, .slowdown = std::vector<double>(4, 0.2), .amplify = 40});
  EXPECT_TRUE(played.result.too_noisy);
  EXPECT_EQ(played.confirm, 0);
  EXPECT_EQ(gate_exit_code(played.result, {}), 3);
}

TEST(GateProcedure, ControlsDecideBeforeCells) {
  Script script{.settings = {}, .slowdown = {0, std::log1p(0.2)}};
  script.aa = std::log1p(0.03);
  EXPECT_EQ(gate_exit_code(play(script).result, {.lost_cells = 1}), 4);
  script.aa = std::log1p(-0.03);
  EXPECT_EQ(gate_exit_code(play(script).result, {}), 4);
  script.aa = 0.005;  // Within its tolerance.
  EXPECT_EQ(gate_exit_code(play(script).result, {}), 1);
  script.slowdown[1] = 0;
  script.positive = std::log1p(0.02);
  EXPECT_EQ(gate_exit_code(play(script).result, {}), 3);
}

TEST(GateProcedure, LaunchesWithoutAValueLeaveTheCellOpen) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Script script{.settings = {}, .slowdown = std::vector<double>(3, 0.0)};
    script.change = [&](GateStage, int launch, std::size_t cell, double value) {
      return cell == 1 && launch == 5 ? std::optional<double>(bad) : value;
    };
    const Played played = play(script);
    EXPECT_EQ(played.result.cells[1].verdict, CellVerdict::inconclusive);
    EXPECT_NE(played.result.cells[1].reason.find("1 of 24 launches"), std::string::npos);
    EXPECT_EQ(played.result.cells[0].verdict, CellVerdict::pass);
    EXPECT_EQ(gate_exit_code(played.result, {}), 3);
  }
}

TEST(GateProcedure, ZeroVarianceIsDecidedAndUnequalCountsAreNotGuessed) {
  Script script{.settings = {}, .slowdown = {0, std::log1p(0.08)}, .amplify = 0};
  Played played = play(script);
  EXPECT_EQ(played.result.cells[0].verdict, CellVerdict::pass);
  EXPECT_EQ(played.result.cells[1].verdict, CellVerdict::fail);
  // Exactly at the margin is not beyond it.
  script.slowdown[1] = std::log1p(0.03);
  played = play(script);
  EXPECT_NE(played.result.cells[1].verdict, CellVerdict::fail);
}

TEST(GateProcedure, TheNumberOfLaunchesFollowsTheScreensScatterAndTheTimeLeft) {
  Script script{.settings = {}, .slowdown = std::vector<double>(4, 0.0), .amplify = 8};
  const int by_scatter = play(script).confirm;
  EXPECT_GT(by_scatter, 32);
  EXPECT_LE(by_scatter, 160);
  script.settings.budget_s = 24 * 0.6 + 20 * 0.4;  // The screen, and 20 launches of the controls.
  EXPECT_EQ(play(script).confirm, 20);
  script.settings.budget_s = 15;
  EXPECT_EQ(play(script).confirm, script.settings.fewest_launches);
}

TEST(GateProcedure, ASecondBudgetGoesToWhatIsOpen) {
  // Between the margin and the bound of a pass, with too much scatter to tell.
  Script script{.settings = {}, .slowdown = {0, std::log1p(0.045)}, .amplify = 10};
  script.settings.most_confirm_launches = 32;
  Played played = play(script);
  ASSERT_EQ(gate_exit_code(played.result, {}), 3);
  EXPECT_EQ(played.extra, 0);
  script.settings.extra_budget_s = 60;
  script.change = [](GateStage stage, int, std::size_t cell, double value) {
    return stage == GateStage::extra && cell == 1 ? value + std::log1p(0.06) : value;
  };
  played = play(script);
  EXPECT_EQ(played.extended, std::vector<std::size_t>{1});
  EXPECT_EQ(played.result.cells[1].verdict, CellVerdict::fail);
  EXPECT_EQ(played.result.cells[1].stage, GateStage::extra);
}

TEST(GateSettings, TheLevelsOfAllTestsAddUpToAlpha) {
  GateSettings settings;
  EXPECT_NEAR(settings.cells_alpha(), 0.008, 1e-15);
  EXPECT_NEAR(settings.mean_alpha(), 0.002, 1e-15);
  EXPECT_NEAR(settings.cells_alpha() + settings.extra_alpha() + settings.mean_alpha(),
              settings.alpha, 1e-15);
  settings.extra_budget_s = 10;
  EXPECT_NEAR(settings.cells_alpha() + settings.extra_alpha() + settings.mean_alpha(),
              settings.alpha, 1e-15);
  EXPECT_NEAR(settings.pass_bound(), 0.05, 1e-15);
  EXPECT_NEAR(settings.screen_estimate(), 0.02, 1e-15);
  EXPECT_NEAR(settings.mean_margin(), 0.01, 1e-15);
  EXPECT_NEAR(settings.positive_work(), 0.06, 1e-15);
}

TEST(GateReport, SaysWhatTheResultSays) {
  const GateSettings settings;
  Script script{.settings = settings, .slowdown = {std::log1p(0.1), 0, std::log(0.8)}};
  const GateResult result = play(script).result;
  GateStory story;
  story.base.label = "main";
  story.head.label = "HEAD";
  for (std::size_t i = 0; i < 3; ++i) {
    GateCell cell;
    cell.axes.variant = "v" + std::to_string(i);
    cell.outcome = i;
    story.cells.push_back(cell);
  }
  GateCell gone;
  gone.state = GateCell::State::missing;
  gone.reason = "unknown variant";
  story.cells.push_back(gone);
  GateCell fresh;
  fresh.state = GateCell::State::added;
  story.cells.push_back(fresh);
  const CheckReport report = gate_report(settings, result, story);
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.outcome, "REGRESSION: 1 cell slower, 1 cell missing");
  ASSERT_EQ(report.rows.size(), 6u);  // The mean is a row too.
  EXPECT_EQ(report.rows[0].verdict, CheckVerdict::regression);
  EXPECT_GT(*report.rows[0].low, 1.03);
  EXPECT_EQ(report.rows[1].verdict, CheckVerdict::pass);
  EXPECT_EQ(report.rows[2].verdict, CheckVerdict::improved);
  EXPECT_EQ(report.rows[3].verdict, CheckVerdict::missing);
  EXPECT_EQ(report.rows[4].verdict, CheckVerdict::added);
  EXPECT_EQ(report.controls.size(), 2u);
  EXPECT_EQ(exit_code_of_rows(report), 1);
}

TEST(ClopperPearson, AgreesWithClosedForms) {
  // Without a hit the bound is 1 - alpha^(1/n): 299 gates are the first number below 1%.
  EXPECT_LT(clopper_pearson_upper(0, 299), 0.01);
  EXPECT_GT(clopper_pearson_upper(0, 298), 0.01);
  EXPECT_NEAR(clopper_pearson_upper(0, 60), 1 - std::pow(0.05, 1.0 / 60), 1e-9);
  const ProportionInterval all = clopper_pearson(15, 15);
  EXPECT_NEAR(all.low, std::pow(0.025, 1.0 / 15), 1e-9);
  EXPECT_EQ(all.high, 1);
  const ProportionInterval half = clopper_pearson(5, 10);
  EXPECT_NEAR(half.low, 0.1871, 1e-4);
  EXPECT_NEAR(half.high, 0.8129, 1e-4);
  EXPECT_EQ(clopper_pearson(0, 0).high, 1);
}

}  // namespace
}  // namespace attnbench::analyse
