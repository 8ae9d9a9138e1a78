// The plan as text for --dry-run.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "plan/plan.h"

namespace attnbench {
namespace {

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} s", seconds);
}

std::string bytes_text(double bytes) { return fmt::format("{:.1f} MiB", bytes / 1048576); }

/// A column of the table. Axes whose value never changes are told once, above the table.
struct Column {
  std::string_view title;
  bool is_axis;
  bool align_right;
  std::function<std::string(const Case&)> text;
};

template <class Member>
std::function<std::string(const Case&)> size_of(Member member) {
  return [member](const Case& cell) { return fmt::format("{}", cell.problem.*member); };
}

std::vector<Column> columns() {
  return {
      {"group", false, true, [](const Case& c) { return fmt::format("{}", c.group); }},
      {"variant", false, false, [](const Case& c) { return c.variant->info().name; }},
      {"params", false, false,
       [](const Case& c) { return c.problem.params_text(c.params.canonical()); }},
      {"mode", true, false, [](const Case& c) { return std::string(to_string(c.problem.mode)); }},
      {"pass", true, false, [](const Case& c) { return std::string(to_string(c.problem.pass)); }},
      {"layout", true, false,
       [](const Case& c) { return std::string(to_string(c.problem.layout)); }},
      {"cache", true, false, [](const Case& c) { return std::string(to_string(c.cache)); }},
      {"input", true, false, [](const Case& c) { return c.input; }},
      {"batch", true, true, size_of(&Problem::batch)},
      {"heads", true, true, size_of(&Problem::heads_q)},
      {"kv-heads", true, true, size_of(&Problem::heads_kv)},
      {"dim", true, true, size_of(&Problem::dim_qk)},
      {"dim-v", true, true, size_of(&Problem::dim_v)},
      {"causal", true, false, [](const Case& c) { return c.problem.causal ? "on" : "off"; }},
      {"mask", true, false, [](const Case& c) { return mask_text(c.problem); }},
      {"position", true, false,
       [](const Case& c) { return std::string(to_string(c.problem.position)); }},
      {"Nq", false, true, size_of(&Problem::seq_q)},
      {"Nk", false, true, size_of(&Problem::seq_k)},
      {"threads", false, true, [](const Case& c) { return fmt::format("{}", c.threads); }},
  };
}

using Row = std::vector<std::string>;

/// Rows with aligned columns, two blanks apart; no blanks at line ends.
std::string align(const std::vector<Row>& rows, const std::vector<bool>& align_right) {
  std::vector<std::size_t> widths(align_right.size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string_view gap = i == 0 ? "" : "  ";
      line += align_right[i] ? fmt::format("{}{:>{}}", gap, row[i], widths[i])
                             : fmt::format("{}{:<{}}", gap, row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

bool varies(const std::vector<Case>& cases, const Column& column) {
  const std::string first = column.text(cases.front());
  return std::ranges::any_of(cases, [&](const Case& c) { return column.text(c) != first; });
}

/// The table of the cells that `wanted` picks, with further columns from `extra`.
std::string table(const std::vector<Case>& cases, const std::vector<Column>& shown,
                  const std::vector<Column>& extra, bool skipped) {
  std::vector<Column> all = shown;
  all.insert(all.end(), extra.begin(), extra.end());
  std::vector<bool> align_right;
  std::vector<Row> rows(1);
  for (const Column& column : all) {
    align_right.push_back(column.align_right);
    rows.front().emplace_back(column.title);
  }
  for (const Case& cell : cases) {
    if (cell.skip.has_value() != skipped) continue;
    Row row;
    for (const Column& column : all) row.push_back(column.text(cell));
    rows.push_back(std::move(row));
  }
  return align(rows, align_right);
}

std::string totals(const SweepPlan& plan) {
  const auto total = static_cast<std::int64_t>(plan.cases.size());
  std::string text =
      fmt::format("{} cells in {} groups: {} to run, {} skipped\n", total,
                  plan.cases.back().group + 1, plan.runnable(), total - plan.runnable());
  if (plan.runnable() == 0) return text;
  text += fmt::format("predicted time: {}", time_text(plan.predicted_time_s));
  text += plan.unlimited_time_s > plan.budget_s
              ? fmt::format(" (the budget; {} without it)\n", time_text(plan.unlimited_time_s))
              : fmt::format(" (budget {})\n", time_text(plan.budget_s));
  text += fmt::format("predicted memory: {} (limit {})\n", bytes_text(plan.predicted_peak_bytes),
                      bytes_text(plan.memory_limit_bytes));
  return text;
}

}  // namespace

std::string format_plan(const SweepPlan& plan) {
  if (plan.cases.empty()) return "0 cells: nothing to run\n";
  std::string shared;
  std::vector<Column> shown;
  for (const Column& column : columns()) {
    if (!column.is_axis || varies(plan.cases, column)) {
      shown.push_back(column);
    } else {
      shared += fmt::format("{}{}={}", shared.empty() ? "" : " ", column.title,
                            column.text(plan.cases.front()));
    }
  }
  std::string text = "all cells: " + shared + "\n\n";
  const auto total = static_cast<std::int64_t>(plan.cases.size());
  if (plan.runnable() > 0) {
    text += table(
        plan.cases, shown,
        {{"one call", false, true, [](const Case& c) { return time_text(c.predicted_time_s); }},
         {"memory", false, true, [](const Case& c) { return bytes_text(c.predicted_bytes); }}},
        false);
    text += '\n';
  }
  if (plan.runnable() < total) {
    text += "skipped:\n";
    text +=
        table(plan.cases, shown,
              {{"reason", false, false, [](const Case& c) { return c.skip.value_or(""); }}}, true);
    text += '\n';
  }
  return text + totals(plan);
}

}  // namespace attnbench
