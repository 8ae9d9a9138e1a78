#include "analyse/compare.h"

#include <fmt/format.h>

#include <cmath>

namespace attnbench::analyse {
namespace {

constexpr const char* kMeanLabel = "all cells (geometric mean)";

bool is_failure(RowStatus status) {
  return status == RowStatus::failed || status == RowStatus::timeout ||
         status == RowStatus::out_of_memory;
}

/// What one side's runs have of one cell.
struct SideFacts {
  std::size_t timed = 0;
  double log_mean = 0, log_sd = 0;
  const RunCell* bad = nullptr;  ///< A row that failed; else one that was skipped.
  bool failed = false;
};

SideFacts facts_of(const std::vector<std::optional<RunCell>>& runs) {
  SideFacts facts;
  double variance = 0;
  for (const auto& run : runs) {
    if (!run) continue;
    if (run->time_s) {
      ++facts.timed;
      facts.log_mean += std::log(*run->time_s);
      variance += run->log_sd * run->log_sd;
    } else if (facts.bad == nullptr || (is_failure(run->status) && !facts.failed)) {
      facts.bad = &*run;
      facts.failed = is_failure(run->status);
    }
  }
  if (facts.timed > 0) {
    facts.log_mean /= static_cast<double>(facts.timed);
    facts.log_sd = std::sqrt(variance / static_cast<double>(facts.timed));
  }
  return facts;
}

std::string bad_text(const RunCell& bad) {
  std::string text(to_string(bad.status));
  if (!bad.reason.empty()) text += ": " + bad.reason;
  return text;
}

/// A cell that is not timed on both sides.
std::optional<CheckRow> one_sided(const ComparedCell& cell, const SideFacts& base,
                                  const SideFacts& head) {
  CheckRow row = cell.row;
  if (base.timed > 0) row.base = std::exp(base.log_mean);
  if (head.timed > 0) row.head = std::exp(head.log_mean);
  if (head.failed && !base.failed) {
    row.verdict = CheckVerdict::failed;
    row.reason = bad_text(*head.bad);
    return row;
  }
  if (base.timed > 0 && head.timed == 0) {
    row.verdict = CheckVerdict::missing;
    row.reason = head.bad != nullptr ? bad_text(*head.bad) : "no row in the new run";
    return row;
  }
  if (base.timed == 0 && head.timed > 0) {
    row.verdict = CheckVerdict::added;
    row.reason = base.bad != nullptr ? "base " + bad_text(*base.bad) : "";
    return row;
  }
  return std::nullopt;
}

void fill(CheckRow& row, const Prediction& found) {
  row.ratio = std::exp(found.estimate);
  row.low = std::exp(found.low);
  row.high = std::exp(found.high);
  row.upper = std::exp(found.upper);
  row.p_value = found.p_slower;
  row.detectable = std::exp(found.detectable);
}

void judge_row(CheckRow& row, const Prediction& found, const CompareSettings& settings) {
  fill(row, found);
  if (found.slower) {
    row.verdict = CheckVerdict::regression;
    row.reason =
        fmt::format("slower than {:g}% at p = {:.2g}", settings.margin * 100, found.p_slower);
  } else if (found.faster) {
    row.verdict = CheckVerdict::improved;
  } else if (found.within_bound) {
    row.verdict = CheckVerdict::pass;
  } else {
    row.verdict = CheckVerdict::inconclusive;
    row.reason = fmt::format("may be slower by {:.1f}%; a pass needs less than {:g}%",
                             std::expm1(found.upper) * 100, settings.pass_bound() * 100);
  }
}

CheckRow mean_row(const Prediction& mean, const CompareSettings& settings) {
  CheckRow row;
  row.label = kMeanLabel;
  row.metric = "mean time";
  row.unit = "";
  fill(row, mean);
  row.verdict = mean.slower   ? CheckVerdict::regression
                : mean.faster ? CheckVerdict::improved
                              : CheckVerdict::pass;
  if (mean.slower) {
    row.reason =
        fmt::format("slower than {:g}% at p = {:.2g}", settings.mean_margin() * 100, mean.p_slower);
  }
  return row;
}

/// The rows of one table on their way.
class Comparison {
 public:
  Comparison(const CellTable& table, const CompareSettings& settings, bool judge,
             CheckReport& report)
      : table_(table), settings_(settings), judge_(judge), report_(report) {}

  void run() {
    for (const ComparedCell& cell : table_.cells()) add(cell);
    if (judge_) {
      const Predictions found = predict_cells(times_, settings_);
      for (std::size_t i = 0; i < timed_.size(); ++i) judge(i, found.cells[i]);
      if (found.mean) report_.rows.push_back(mean_row(*found.mean, settings_));
      report_.figures.emplace_back("run_spread", found.run_sd);
      report_.figures.emplace_back("cell_spread", found.cell_sd);
      report_.summary.push_back(
          fmt::format("Base runs differ by {:.2f}% as a whole and by {:.2f}% per cell (standard "
                      "deviations; {} runs).",
                      found.run_sd * 100, found.cell_sd * 100, table_.base_runs()));
    }
    if (neither_ > 0) {
      report_.summary.push_back(
          fmt::format("{} cells were timed on neither side and are not listed.", neither_));
    }
  }

 private:
  void add(const ComparedCell& cell) {
    const SideFacts base = facts_of(cell.base), head = facts_of(cell.head);
    if (auto row = one_sided(cell, base, head)) {
      report_.rows.push_back(std::move(*row));
      return;
    }
    if (base.timed == 0 || head.timed == 0) {
      ++neither_;
      return;
    }
    CheckRow row = cell.row;
    row.base = std::exp(base.log_mean);
    row.head = std::exp(head.log_mean);
    row.ratio = std::exp(head.log_mean - base.log_mean);
    row.verdict = CheckVerdict::inconclusive;
    timed_.push_back(report_.rows.size());
    report_.rows.push_back(std::move(row));
    if (!judge_) return;
    LogTimes& times = times_.emplace_back();
    times.base.resize(table_.base_runs());
    for (std::size_t k = 0; k < cell.base.size(); ++k) {
      if (cell.base[k] && cell.base[k]->time_s) times.base[k] = std::log(*cell.base[k]->time_s);
    }
    for (const auto& run : cell.head) {
      if (run && run->time_s) times.head.push_back(std::log(*run->time_s));
    }
    times.base_sd = base.log_sd;
    times.head_sd = head.log_sd;
    base_counts_.push_back(base.timed);
  }

  /// `at` counts the timed rows.
  void judge(std::size_t at, const std::optional<Prediction>& found) {
    CheckRow& row = report_.rows[timed_[at]];
    if (found) return judge_row(row, *found, settings_);
    row.reason = fmt::format("timed in {} of the base runs; at least {} are needed",
                             base_counts_[at], kLeastBaseRuns);
  }

  const CellTable& table_;
  const CompareSettings& settings_;
  bool judge_;
  CheckReport& report_;
  std::vector<std::size_t> timed_;  ///< Rows with times on both sides.
  std::vector<LogTimes> times_;     ///< Theirs.
  std::vector<std::size_t> base_counts_;
  std::size_t neither_ = 0;
};

}  // namespace

void compare_cells(const CellTable& table, const CompareSettings& settings, bool judge,
                   CheckReport& report) {
  report.kind = CheckKind::compare;
  report.figures = {{"margin", settings.margin},
                    {"pass_bound", settings.pass_bound()},
                    {"alpha", settings.alpha},
                    {"base_runs", static_cast<double>(table.base_runs())},
                    {"head_runs", static_cast<double>(table.head_runs())}};
  Comparison(table, settings, judge, report).run();
  if (judge) return conclude(report);
  report.outcome = "NOT JUDGED";
  report.exit_code = 3;
}

void conclude(CheckReport& report) {
  report.exit_code = exit_code_of_rows(report);
  if (report.rows.empty()) report.exit_code = 3;
  switch (report.exit_code) {
    case 0:
      report.outcome = "PASS";
      break;
    case 1:
      report.outcome = "REGRESSION";
      break;
    default:
      report.outcome = report.rows.empty() ? "INCONCLUSIVE: nothing to compare"
                                           : "INCONCLUSIVE: the noise does not tell";
  }
}

}  // namespace attnbench::analyse
