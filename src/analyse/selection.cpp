#include "analyse/selection.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "record/schema.h"

namespace attnbench::analyse {
namespace {

/// Axes that tell series of one question apart, or that are their swept length.
bool is_open(const Series& series, std::string_view column) {
  for (const char* open : {"variant", "family", "exactness", "params"}) {
    if (column == open) return true;
  }
  if (column == "seq_q") return series.swept != "seq_k";
  if (column == "seq_k") return series.swept != "seq_q";
  return false;
}

/// Whether the series has what a run without flags has.
bool is_usual(const Series& series, std::string_view column) {
  if (column == "heads_kv") return series.axes.heads_kv == series.axes.heads_q;
  if (column == "dim_v") return series.axes.dim_v == series.axes.dim_qk;
  if (column == "heads_q") return series.axes.heads_q == 8;
  if (column == "dim_qk") return series.axes.dim_qk == 64;
  Series usual;
  return axis_value(series, column) == axis_value(usual, column);
}

/// Distinct values, numbers by size.
std::vector<std::string> values_of(const std::vector<Series>& series, const Selected& left,
                                   std::string_view column) {
  std::set<std::pair<std::size_t, std::string>> values;
  for (const std::size_t i : left) {
    const std::string value = axis_value(series[i], column);
    const bool number = !value.empty() && value.find_first_not_of("0123456789") == value.npos;
    values.insert({number ? value.size() : 0, value});
  }
  std::vector<std::string> texts;
  for (const auto& [order, value] : values) texts.push_back(value);
  return texts;
}

}  // namespace

std::string axis_value(const Series& series, std::string_view column) {
  Record record;
  record.axes = series.axes;
  for (const Column<Record>& each : axis_columns()) {
    if (each.name == column) return cell_text(each, each.get(record));
  }
  return "";
}

Selection select_series(const std::vector<Series>& series, const AxisValues& wanted,
                        const std::vector<std::string>& keep) {
  Selected left;
  for (std::size_t i = 0; i < series.size(); ++i) {
    if (!series[i].points.empty()) left.push_back(i);
  }
  // What was asked for first: a usual value must not take away what it needs.
  for (const Column<Record>& column : axis_columns()) {
    const std::string axis(column.name);
    const auto asked = wanted.find(axis);
    if (asked == wanted.end()) continue;
    std::vector<std::string> measured = values_of(series, left, axis);
    std::erase_if(left,
                  [&](std::size_t i) { return axis_value(series[i], axis) != asked->second; });
    if (left.empty()) return NotMeasured{axis, asked->second, std::move(measured)};
  }
  for (const Column<Record>& column : axis_columns()) {
    const std::string axis(column.name);
    if (wanted.contains(axis) || std::ranges::find(keep, axis) != keep.end()) continue;
    if (std::ranges::all_of(left, [&](std::size_t i) { return is_open(series[i], axis); })) {
      continue;
    }
    std::vector<std::string> measured = values_of(series, left, axis);
    if (measured.size() < 2) continue;
    Selected usual;
    std::ranges::copy_if(left, std::back_inserter(usual),
                         [&](std::size_t i) { return is_usual(series[i], axis); });
    if (usual.empty()) return Ambiguous{axis, std::move(measured)};
    left = std::move(usual);
  }
  return left;
}

}  // namespace attnbench::analyse
