#include "record/people_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <optional>

#include "record/markdown.h"

namespace attnbench {
namespace {

using CellOf = std::function<std::string(const Record&)>;

struct PeopleColumn {
  std::string heading;
  bool right_aligned = false;
  CellOf cell;
};

/// An axis that is a column when it varies and part of the shared line when it does not.
struct SharedAxis {
  std::string heading;
  CellOf cell;
};

std::string integer_text(std::int64_t value) { return std::to_string(value); }

std::vector<SharedAxis> shared_axes() {
  const auto number = [](auto CaseAxes::*axis) {
    return [axis](const Record& r) { return integer_text(r.axes.*axis); };
  };
  const auto text = [](std::string CaseAxes::*axis) {
    return [axis](const Record& r) { return r.axes.*axis; };
  };
  return {
      {"mode", text(&CaseAxes::mode)},
      {"pass", text(&CaseAxes::pass)},
      {"B", number(&CaseAxes::batch)},
      {"Hq", number(&CaseAxes::heads_q)},
      {"Hkv", number(&CaseAxes::heads_kv)},
      {"D", number(&CaseAxes::dim_qk)},
      {"Dv", number(&CaseAxes::dim_v)},
      {"causal", [](const Record& r) { return std::string(r.axes.causal ? "on" : "off"); }},
      {"dtype", text(&CaseAxes::dtype)},
      {"layout", text(&CaseAxes::layout)},
      {"isa", text(&CaseAxes::isa)},
      {"input", text(&CaseAxes::input)},
      {"mask", text(&CaseAxes::mask)},
      {"position", text(&CaseAxes::position)},
      {"cache", text(&CaseAxes::cache)},
      {"seed", [](const Record& r) { return std::to_string(r.seed); }},
  };
}

bool varies(std::span<const Record> records, const CellOf& cell) {
  return std::any_of(records.begin(), records.end(),
                     [&](const Record& r) { return cell(r) != cell(records.front()); });
}

std::string median_text(const Record& record, TableStyle style) {
  if (!record.time_median_s) return "";
  std::string text = significant(*record.time_median_s * 1e3, 4);
  if (!record.time_ci_low_s || !record.time_ci_high_s || *record.time_median_s <= 0) return text;
  const double half = std::max(*record.time_ci_high_s - *record.time_median_s,
                               *record.time_median_s - *record.time_ci_low_s);
  return text + fmt::format(" {}{:.1f}%", style == TableStyle::console ? "+-" : "± ",
                            std::max(0.0, half) / *record.time_median_s * 100);
}

std::string rate_text(const std::optional<double>& rate) {
  return rate ? significant(*rate, 3) : "";
}

std::string error_text(double error) {
  if (!std::isfinite(error)) return "inf";
  if (error == 0) return "0";
  return error >= 0.01 && error < 1e4 ? significant(error, 3) : fmt::format("{:.1e}", error);
}

std::string error_cell(const Record& record) {
  if (record.error_rel_l2) return error_text(*record.error_rel_l2);
  if (record.definition_rel_l2) return error_text(*record.definition_rel_l2) + " def";
  return "";
}

std::string percent_text(const std::optional<double>& fraction) {
  return fraction ? fmt::format("{:.1f}", *fraction * 100) : "";
}

std::string workspace_text(const Record& record) {
  const auto& bytes =
      record.workspace_peak_bytes ? record.workspace_peak_bytes : record.workspace_model_bytes;
  return bytes ? bytes_text(static_cast<double>(*bytes)) : "";
}

std::string status_text(const Record& record) {
  const std::string status(to_string(record.status));
  if (record.reason.empty()) return status;
  return status + ": " + record.reason;
}

std::vector<PeopleColumn> axis_people_columns(std::span<const Record> records, PeopleTable& table) {
  const auto square = std::all_of(records.begin(), records.end(),
                                  [](const Record& r) { return r.axes.seq_q == r.axes.seq_k; });
  std::vector<PeopleColumn> columns{
      {"variant", false, [](const Record& r) { return r.axes.variant; }},
      {"params", false, [](const Record& r) { return r.axes.params; }},
      {square ? "N" : "Nq/Nk", true,
       [square](const Record& r) {
         const std::string seq_q = integer_text(r.axes.seq_q);
         return square ? seq_q : seq_q + "/" + integer_text(r.axes.seq_k);
       }},
      {"threads", true, [](const Record& r) { return integer_text(r.axes.threads); }},
  };
  for (const SharedAxis& axis : shared_axes()) {
    if (varies(records, axis.cell)) {
      columns.push_back({axis.heading, false, axis.cell});
      continue;
    }
    const std::string value = axis.cell(records.front());
    if (value.empty() || value == "none") continue;
    if (!table.shared.empty()) table.shared += ' ';
    table.shared += axis.heading + "=" + value;
  }
  return columns;
}

std::vector<PeopleColumn> figure_columns(TableStyle style) {
  std::vector<PeopleColumn> columns{
      {"median ms", true, [style](const Record& r) { return median_text(r, style); }},
      {"GF/s", true, [](const Record& r) { return rate_text(r.gflops_performed); }},
      {"% of roofline", true, [](const Record& r) { return percent_text(r.roofline_fraction); }},
      {"workspace", true, workspace_text},
      {"error", true, error_cell},
      {"status", false, status_text},
  };
  if (style == TableStyle::console) return columns;
  columns[1].heading = "GFLOP/s performed";
  columns[4].heading = "error against softmax";
  const PeopleColumn useful{"GFLOP/s useful", true,
                            [](const Record& r) { return rate_text(r.gflops_useful); }};
  const PeopleColumn mean_v{"error of mean(V)", true, [](const Record& r) {
                              return r.error_mean_v ? error_text(*r.error_mean_v) : "";
                            }};
  columns.insert(columns.begin() + 5, mean_v);
  columns.insert(columns.begin() + 1, useful);
  return columns;
}

}  // namespace

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 1e-4 || size >= 1e9) return fmt::format("{:.{}e}", value, digits - 1);
  // Rounding may carry into a further digit: take the exponent of the rounded value.
  const std::string rounded = fmt::format("{:.{}e}", size, digits - 1);
  const int exponent = std::stoi(rounded.substr(rounded.find('e') + 1));
  return fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
}

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return fmt::format("{} {}", significant(bytes, 3), kUnits[unit]);
}

PeopleTable people_table(std::span<const Record> records, TableStyle style) {
  PeopleTable table;
  if (records.empty()) return table;
  std::vector<PeopleColumn> columns = axis_people_columns(records, table);
  for (PeopleColumn& column : figure_columns(style)) columns.push_back(std::move(column));
  for (const PeopleColumn& column : columns) {
    table.headings.push_back({column.heading, column.right_aligned});
  }
  for (const Record& record : records) {
    std::vector<std::string>& row = table.rows.emplace_back();
    for (const PeopleColumn& column : columns) row.push_back(column.cell(record));
  }
  return table;
}

}  // namespace attnbench
