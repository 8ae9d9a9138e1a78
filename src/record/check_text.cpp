// A check report for people: console and Markdown.
#include <fmt/format.h>

#include <algorithm>

#include "record/check_report.h"
#include "record/check_table.h"

namespace attnbench {
namespace {

std::string side_text(const char* name, const CheckSide& side) {
  if (side.label.empty() && side.detail.empty()) return "";
  return fmt::format("{}: {}{}", name, side.label,
                     side.detail.empty() ? "" : " (" + side.detail + ")");
}

std::string omitted_text(std::size_t omitted, std::size_t passing) {
  if (omitted == 0) return "";
  const std::string what = passing == omitted
                               ? "passing rows are"
                               : fmt::format("rows ({} of them passing) are", passing);
  return fmt::format("{} {} left out here; check.json has all of them.", omitted, what);
}

struct Chosen {
  std::vector<std::size_t> rows;
  std::string omitted;  ///< Empty when every row is shown.
};

/// The first `shown` rows by severity.
Chosen choose(const CheckReport& report, std::size_t shown) {
  Chosen chosen;
  chosen.rows = rows_by_severity(report);
  shown = std::min(shown, chosen.rows.size());
  std::size_t passing = 0;
  for (std::size_t i = shown; i < chosen.rows.size(); ++i) {
    passing += report.rows[chosen.rows[i]].verdict == CheckVerdict::pass ? 1 : 0;
  }
  chosen.omitted = omitted_text(chosen.rows.size() - shown, passing);
  chosen.rows.resize(shown);
  return chosen;
}

/// Lines of everything but the table; `bullet` stands before each.
std::string closing_lines(const CheckReport& report, std::string_view bullet,
                          std::string (*escaped)(std::string_view)) {
  std::string out;
  for (const CheckControl& control : report.controls) {
    out += fmt::format("{}control {}\n", bullet, escaped(control_text(control)));
  }
  for (const std::string& line : report.summary) {
    out += fmt::format("{}{}\n", bullet, escaped(line));
  }
  for (const std::string& line : report.warnings) {
    out += fmt::format("{}warning: {}\n", bullet, escaped(line));
  }
  return out;
}

/// As many rows as fit into `most_bytes` of table.
std::size_t rows_that_fit(const CheckReport& report, const CheckTable& table,
                          std::size_t most_bytes) {
  std::size_t bytes = 0, shown = 0;
  for (const std::size_t i : rows_by_severity(report)) {
    bytes += markdown_row(table.cells(report.rows[i])).size();
    if (bytes > most_bytes) break;
    ++shown;
  }
  return shown;
}

/// At most `most_bytes`, cut at a line end where there is one.
std::string shortened(std::string text, std::size_t most_bytes) {
  static constexpr std::string_view kMark = "(shortened)\n";
  if (text.size() <= most_bytes) return text;
  if (most_bytes < kMark.size()) return "";
  const std::size_t end = text.rfind('\n', most_bytes - kMark.size() - 1);
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text + std::string(kMark);
}

}  // namespace

std::string check_console(const CheckReport& report, std::size_t most_rows) {
  std::string out = one_line(report.title) + "\n";
  for (const auto& [name, side] : {std::pair{"base", &report.base}, {"head", &report.head}}) {
    const std::string text = one_line(side_text(name, *side));
    if (!text.empty()) out += text + "\n";
  }
  if (!report.rows.empty()) {
    const CheckTable columns(report);
    PeopleTable table = columns.headings();
    const Chosen chosen = choose(report, most_rows);
    for (const std::size_t i : chosen.rows) table.rows.push_back(columns.cells(report.rows[i]));
    out += "\n" + aligned_lines(table);
    if (!chosen.omitted.empty()) out += chosen.omitted + "\n";
  }
  out += "\n" + closing_lines(report, "", one_line);
  return out + one_line(fmt::format("{}: {}", verdict_counts(report), report.outcome)) + "\n";
}

std::string check_markdown(const CheckReport& report, std::size_t most_bytes) {
  std::string head = "## " + markdown_escaped(report.title) + "\n\n";
  head += fmt::format("**{}** ({})\n", markdown_escaped(report.outcome), verdict_counts(report));
  for (const auto& [name, side] : {std::pair{"base", &report.base}, {"head", &report.head}}) {
    const std::string text = markdown_escaped(side_text(name, *side));
    if (!text.empty()) head += "\n- " + text;
  }
  head += "\n\n";
  std::string tail = "\n" + closing_lines(report, "- ", markdown_escaped);
  // The table gets what they leave, and never less than half.
  head = shortened(std::move(head), most_bytes / 4);
  tail = shortened(std::move(tail), most_bytes / 4);
  if (report.rows.empty()) return head + tail;
  const CheckTable columns(report);
  const std::string headings = markdown_headings(columns.headings());
  static constexpr std::size_t kRoomForOmitted = 200;
  const std::size_t taken = head.size() + tail.size() + headings.size() + kRoomForOmitted;
  const std::size_t room = most_bytes > taken ? most_bytes - taken : 0;
  const Chosen chosen = choose(report, rows_that_fit(report, columns, room));
  std::string table = headings;
  for (const std::size_t i : chosen.rows) table += markdown_row(columns.cells(report.rows[i]));
  if (!chosen.omitted.empty()) table += "\n" + chosen.omitted + "\n";
  return head + table + tail;
}

}  // namespace attnbench
