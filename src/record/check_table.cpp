#include "record/check_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "record/markdown.h"

namespace attnbench {
namespace {

std::string seconds_text(double seconds) {
  if (seconds < 1e-3) return significant(seconds * 1e6, 4) + " us";
  if (seconds < 1) return significant(seconds * 1e3, 4) + " ms";
  return significant(seconds, 4) + " s";
}

/// Counts with six digits: exact metrics differ late.
std::string count_text(double count) {
  static constexpr std::array<const char*, 5> kPrefixes{"", " k", " M", " G", " T"};
  std::size_t prefix = 0;
  while (std::abs(count) >= 1e6 && prefix + 1 < kPrefixes.size()) {
    count /= 1000;
    ++prefix;
  }
  return (prefix == 0 ? fmt::format("{:.0f}", count) : significant(count, 6)) + kPrefixes[prefix];
}

template <class Present>
bool any_row(const CheckReport& report, Present present) {
  return std::any_of(report.rows.begin(), report.rows.end(), present);
}

}  // namespace

std::string check_value_text(const std::optional<double>& value, const std::string& unit) {
  if (!value) return "";
  if (!std::isfinite(*value)) return fmt::format("{}", *value);
  if (unit == "s") return seconds_text(*value);
  if (unit == "bytes") return *value < 1e6 ? fmt::format("{:.0f} B", *value) : bytes_text(*value);
  if (unit == "instructions") return count_text(*value);
  return significant(*value, 4) + (unit.empty() ? "" : " " + unit);
}

std::string ratio_text(const std::optional<double>& ratio) {
  if (!ratio) return "";
  if (*ratio >= 2 || *ratio <= 0) return "x" + significant(*ratio, 3);
  // A zero keeps its sign out of the table.
  const double percent = std::round((*ratio - 1) * 1e4) / 1e2;
  return fmt::format("{:+.2f}%", percent == 0 ? 0.0 : percent);
}

std::string interval_text(const std::optional<double>& low, const std::optional<double>& high) {
  if (!low || !high) return "";
  return fmt::format("[{}, {}]", ratio_text(low), ratio_text(high));
}

std::string verdict_counts(const CheckReport& report) {
  std::array<std::size_t, static_cast<std::size_t>(CheckVerdict::pass) + 1> counts{};
  for (const CheckRow& row : report.rows) ++counts[static_cast<std::size_t>(row.verdict)];
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[i],
                        to_string(static_cast<CheckVerdict>(i)));
  }
  return text.empty() ? "no cells" : text;
}

std::string control_text(const CheckControl& control) {
  std::string text = control.name + (control.as_expected ? ": as expected" : ": NOT AS EXPECTED");
  if (control.ratio) {
    const std::string interval = interval_text(control.low, control.high);
    text += ", " + ratio_text(control.ratio) + (interval.empty() ? "" : " " + interval);
  }
  return text + (control.detail.empty() ? "" : "; " + control.detail);
}

CheckTable::CheckTable(const CheckReport& report) {
  metric_ = any_row(report, [](const CheckRow& row) { return row.metric != "time"; });
  upper_ = any_row(report, [](const CheckRow& row) { return row.upper.has_value(); });
  detectable_ = any_row(report, [](const CheckRow& row) { return row.detectable.has_value(); });
  auto& headings = headings_.headings;
  headings.push_back({"verdict", false});
  headings.push_back({"cell", false});
  if (metric_) headings.push_back({"metric", false});
  for (const char* text : {"base", "head", "change", "interval"}) headings.push_back({text, true});
  if (upper_) headings.push_back({"at most", true});
  if (detectable_) headings.push_back({"detectable", true});
  headings.push_back({"reason", false});
}

std::vector<std::string> CheckTable::cells(const CheckRow& row) const {
  std::vector<std::string> cells{std::string(to_string(row.verdict)), row.label};
  if (metric_) cells.push_back(row.metric);
  cells.push_back(check_value_text(row.base, row.unit));
  cells.push_back(check_value_text(row.head, row.unit));
  cells.push_back(ratio_text(row.ratio));
  cells.push_back(interval_text(row.low, row.high));
  if (upper_) cells.push_back(ratio_text(row.upper));
  if (detectable_) cells.push_back(ratio_text(row.detectable));
  cells.push_back(row.reason);
  return cells;
}

}  // namespace attnbench
