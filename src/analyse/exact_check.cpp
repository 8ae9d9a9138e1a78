#include "analyse/exact_check.h"

#include <fmt/format.h>

#include "analyse/series.h"

namespace attnbench::analyse {
namespace {

double margin_of(ExactMetric metric, const ExactSettings& settings) {
  return metric == ExactMetric::instructions ? settings.instructions_margin
                                             : settings.workspace_margin;
}

void judge(const ExactCell& cell, double margin, CheckRow& row) {
  const double base = *cell.base, head = *cell.head;
  if (base > 0) row.ratio = head / base;
  if (head > base * (1 + margin)) {
    row.verdict = CheckVerdict::regression;
    row.reason = fmt::format("{:.0f} more; accepted: {:g}%", head - base, 100 * margin);
  } else if (head < base * (1 - margin)) {
    row.verdict = CheckVerdict::improved;
  }
}

CheckRow row_of(const ExactCell& cell, const ExactSettings& settings) {
  CheckRow row;
  row.label = cell_label(cell.axes);
  row.case_id = cell.axes.case_id();
  row.variant = cell.axes.variant;
  row.params = cell.axes.params;
  row.problem = case_problem(cell.axes);
  row.threads = cell.axes.threads;
  row.metric = to_string(cell.metric);
  row.unit = cell.metric == ExactMetric::instructions ? "instructions" : "bytes";
  row.base = cell.base;
  row.head = cell.head;
  row.reason = cell.reason;
  if (cell.base && cell.head) {
    judge(cell, margin_of(cell.metric, settings), row);
  } else if (cell.head) {
    row.verdict = CheckVerdict::added;
  } else {
    row.verdict = cell.head_tried ? CheckVerdict::failed : CheckVerdict::missing;
  }
  return row;
}

}  // namespace

std::string_view to_string(ExactMetric metric) {
  return metric == ExactMetric::instructions ? "instructions" : "workspace";
}

void add_exact_rows(std::span<const ExactCell> cells, const ExactSettings& settings,
                    CheckReport& report) {
  for (const ExactMetric metric : {ExactMetric::instructions, ExactMetric::workspace}) {
    std::size_t count = 0;
    for (const ExactCell& cell : cells) {
      if (cell.metric != metric) continue;
      report.rows.push_back(row_of(cell, settings));
      ++count;
    }
    if (count == 0) continue;
    report.figures.emplace_back(fmt::format("{}_margin", to_string(metric)),
                                margin_of(metric, settings));
  }
}

}  // namespace attnbench::analyse
