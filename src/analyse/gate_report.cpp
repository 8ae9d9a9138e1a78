#include "analyse/gate_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analyse/series.h"

namespace attnbench::analyse {
namespace {

std::optional<double> finite_ratio(double log_ratio) {
  if (!std::isfinite(log_ratio)) return std::nullopt;
  return std::exp(log_ratio);
}

constexpr const char* kMeanLabel = "geometric mean of all cells";

std::string percent(double fraction) { return fmt::format("{:+.1f}%", 100 * fraction); }
std::string percent_of_log(double log_ratio) { return percent(std::expm1(log_ratio)); }

CheckVerdict verdict_of(const CellOutcome& outcome) {
  switch (outcome.verdict) {
    case CellVerdict::fail:
      return CheckVerdict::regression;
    case CellVerdict::inconclusive:
      return CheckVerdict::inconclusive;
    case CellVerdict::unconfirmed:
      return CheckVerdict::unconfirmed;
    case CellVerdict::pass:
      break;
  }
  return outcome.high < 0 ? CheckVerdict::improved : CheckVerdict::pass;
}

void fill_outcome(CheckRow& row, const CellOutcome& outcome) {
  row.ratio = finite_ratio(outcome.estimate);
  row.low = finite_ratio(outcome.low);
  row.high = row.upper = finite_ratio(outcome.high);
  row.p_value = outcome.p_value;
  if (outcome.detectable) row.detectable = std::exp(*outcome.detectable);
  row.verdict = verdict_of(outcome);
  row.reason = outcome.reason;
  if (outcome.stage != GateStage::screen && row.reason.empty()) {
    row.reason = fmt::format("{} launches", outcome.launches);
  }
}

CheckRow row_of(const GateCell& cell, const GateResult& result) {
  CheckRow row;
  row.label = cell_label(cell.axes);
  row.case_id = cell.axes.case_id();
  row.variant = cell.axes.variant;
  row.params = cell.axes.params;
  row.problem = case_problem(cell.axes);
  row.threads = cell.axes.threads;
  row.base = cell.base_s;
  row.head = cell.head_s;
  switch (cell.state) {
    case GateCell::State::compared:
      if (cell.outcome) fill_outcome(row, result.cells[*cell.outcome]);
      break;
    case GateCell::State::missing:
      row.verdict = CheckVerdict::missing;
      break;
    case GateCell::State::failed:
      row.verdict = CheckVerdict::failed;
      break;
    case GateCell::State::added:
      row.verdict = CheckVerdict::added;
      break;
  }
  if (!cell.reason.empty()) row.reason = cell.reason;
  return row;
}

CheckRow mean_row(const GateSettings& settings, const GateResult& result) {
  CheckRow row;
  row.label = kMeanLabel;
  row.ratio = finite_ratio(result.mean_estimate);
  row.low = finite_ratio(result.mean_low);
  row.p_value = result.mean_p_value;
  row.verdict = result.mean_failed ? CheckVerdict::regression : CheckVerdict::pass;
  if (result.mean_failed) {
    row.reason =
        fmt::format("all cells together are slower by {:.1f}% at least, the margin is {:.1f}%",
                    100 * std::expm1(result.mean_low), 100 * settings.mean_margin());
  }
  return row;
}

CheckControl control_of(std::string name, const ControlOutcome& outcome, std::string expected) {
  CheckControl control;
  control.name = std::move(name);
  control.as_expected = outcome.as_expected;
  control.ratio = finite_ratio(outcome.estimate);
  control.low = finite_ratio(outcome.low);
  control.high = finite_ratio(outcome.high);
  control.detail = fmt::format("{}, {} launches", expected, outcome.launches);
  return control;
}

void add_controls(const GateSettings& settings, const GateResult& result, CheckReport& report) {
  const std::string work = fmt::format("{} work", percent(settings.positive_work()));
  if (result.aa.ran) {
    report.controls.push_back(
        control_of("A/A", result.aa,
                   fmt::format("base against a copy of itself, expected within {:.1f}%",
                               100 * settings.aa_tolerance)));
  }
  if (result.positive.ran) {
    report.controls.push_back(control_of(
        work, result.positive,
        fmt::format("known slowdown, must be found above {}", percent(settings.margin))));
  }
}

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string why_inconclusive(const GateResult& result, const CheckReport& report) {
  if (result.too_noisy) {
    return fmt::format("machine too noisy: launches scatter by {:.1f}%",
                       100 * result.launch_spread);
  }
  if (!result.aa.ran || !result.positive.ran) return "the controls gave no valid times";
  if (!result.positive.as_expected) return "blind: the known slowdown was not found";
  const std::size_t open = count_rows(report, CheckVerdict::inconclusive);
  const std::size_t waiting = count_rows(report, CheckVerdict::unconfirmed);
  std::string text;
  if (open > 0) text += counted(open, "cell") + " undecided";
  if (waiting > 0) {
    text += fmt::format("{}{} not confirmed", text.empty() ? "" : ", ", counted(waiting, "cell"));
  }
  return text;
}

std::string outcome_of(const GateResult& result, const CheckReport& report) {
  if (report.exit_code == 4) {
    return fmt::format("A/A CONTROL TRIPPED: a copy of the base differs from it by {}",
                       percent_of_log(result.aa.estimate));
  }
  if (report.exit_code == 3) return "INCONCLUSIVE: " + why_inconclusive(result, report);
  if (report.exit_code == 0) return "PASS";
  const bool mean_failed = std::ranges::any_of(report.rows, [](const CheckRow& row) {
    return row.label == kMeanLabel && row.verdict == CheckVerdict::regression;
  });
  std::string text;
  for (const auto& [verdict, word] :
       {std::pair{CheckVerdict::regression, "slower"}, std::pair{CheckVerdict::failed, "failing"},
        std::pair{CheckVerdict::missing, "missing"}}) {
    std::size_t count = count_rows(report, verdict);
    if (verdict == CheckVerdict::regression && mean_failed) --count;
    if (count > 0) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counted(count, "cell"), word);
    }
  }
  if (mean_failed) text += text.empty() ? "all cells together slower" : ", all slower";
  return "REGRESSION: " + text;
}

void add_summary(const GateSettings& settings, const GateResult& result, CheckReport& report) {
  report.summary.push_back(fmt::format(
      "{} launches of all cells, {} of those that survived and of the controls{}; launches scatter "
      "by {:.2f}% (median over cells); {:.0f} s.",
      result.screen_launches, result.confirm_launches,
      result.extra_launches > 0 ? fmt::format(", {} more", result.extra_launches) : "",
      100 * result.launch_spread, result.elapsed_s));
  std::optional<double> detectable = result.aa.detectable;
  for (const CellOutcome& cell : result.cells) {
    if (cell.detectable) detectable = std::max(detectable.value_or(0), *cell.detectable);
  }
  if (detectable) {
    report.summary.push_back(
        fmt::format("Smallest slowdown found 9 times in 10: {}.", percent_of_log(*detectable)));
  }
  report.summary.push_back(fmt::format(
      "A gate of two equal builds fails at most once in {:.0f}; slowdowns up to {:.1f}% of a cell "
      "and {:.1f}% of all cells together are accepted.",
      1 / settings.alpha, 100 * settings.margin, 100 * settings.mean_margin()));
}

void add_figures(const GateSettings& settings, const GateResult& result, CheckReport& report) {
  report.figures = {{"margin", settings.margin},
                    {"alpha", settings.alpha},
                    {"budget_s", settings.budget_s},
                    {"extra_budget_s", settings.extra_budget_s},
                    {"screen_launches", result.screen_launches},
                    {"confirm_launches", result.confirm_launches},
                    {"extra_launches", result.extra_launches},
                    {"launch_spread", result.launch_spread},
                    {"elapsed_s", result.elapsed_s}};
  if (result.aa.detectable) {
    report.figures.emplace_back("detectable", std::exp(*result.aa.detectable));
  }
}

}  // namespace

CheckReport gate_report(const GateSettings& settings, const GateResult& result,
                        const GateStory& story) {
  CheckReport report;
  report.kind = CheckKind::gate_ab;
  report.title = fmt::format("gate {} against {}", story.head.label, story.base.label);
  report.base = story.base;
  report.head = story.head;
  report.warnings = story.warnings;
  GateFacts facts;
  for (const GateCell& cell : story.cells) {
    report.rows.push_back(row_of(cell, result));
    if (cell.state == GateCell::State::missing || cell.state == GateCell::State::failed) {
      ++facts.lost_cells;
    }
  }
  if (result.mean_tested) report.rows.push_back(mean_row(settings, result));
  add_controls(settings, result, report);
  report.exit_code = gate_exit_code(result, facts);
  report.outcome = outcome_of(result, report);
  if (result.too_noisy) {
    report.warnings.push_back(fmt::format(
        "the launches of a cell scatter by {:.1f}%, above {:.1f}% nothing can be confirmed: "
        "choose a quieter machine or time",
        100 * result.launch_spread, 100 * settings.noisy_spread));
  }
  add_summary(settings, result, report);
  add_figures(settings, result, report);
  return report;
}

void conclude_gate(const GateResult& result, CheckReport& report) {
  const bool unproven = !result.aa.ran || !result.positive.ran || !result.positive.as_expected;
  report.exit_code = exit_code_of_rows(report);
  if (report.exit_code == 0 && (result.too_noisy || unproven)) report.exit_code = 3;
  if (result.aa.ran && !result.aa.as_expected) report.exit_code = 4;
  report.outcome = outcome_of(result, report);
}

}  // namespace attnbench::analyse
