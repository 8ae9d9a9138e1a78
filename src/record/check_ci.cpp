// A check report for machines that watch: JUnit XML, GitHub workflow commands.
#include <fmt/format.h>

#include "record/check_report.h"
#include "record/check_table.h"

namespace attnbench {
namespace {

/// Length of the UTF-8 sequence at `at`, 0 when there is none that XML 1.0 may hold.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
  const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || at + length > text.size()) return 0;
  char32_t code = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (byte(at + i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  const bool none = code == 0xfffe || code == 0xffff || code > 0x10ffff;
  return overlong || surrogate || none ? 0 : length;
}

/// For an attribute in double quotes or for text; what XML cannot hold becomes U+FFFD.
std::string xml_escaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length != 1) {
      out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(at, length);
      at += length == 0 ? 1 : length;
      continue;
    }
    switch (const char c = text[at++]) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\t':
      case '\n':
      case '\r':
        out += fmt::format("&#{};", static_cast<int>(c));
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// "+7.12% [+5.01%, +9.20%]; reason".
std::string finding_text(const CheckRow& row) {
  std::string text = ratio_text(row.ratio);
  const std::string interval = interval_text(row.low, row.high);
  if (!interval.empty()) text += " " + interval;
  if (row.base && row.head) {
    text += fmt::format("{}{} -> {}", text.empty() ? "" : ", ",
                        check_value_text(row.base, row.unit), check_value_text(row.head, row.unit));
  }
  if (!row.reason.empty()) text += (text.empty() ? "" : "; ") + row.reason;
  return text;
}

struct SuiteCounts {
  std::size_t tests = 0, failures = 0, errors = 0, skipped = 0;
};

std::string junit_row(const CheckRow& row, const std::string& suite, SuiteCounts& counts) {
  ++counts.tests;
  const std::string name = row.metric == "time" ? row.label : row.label + " " + row.metric;
  std::string out = fmt::format("    <testcase classname=\"{}\" name=\"{}\"",
                                xml_escaped(suite + "." + row.variant), xml_escaped(name));
  const std::string finding = xml_escaped(finding_text(row));
  switch (exit_code_of(row.verdict)) {
    case 1:
      ++counts.failures;
      return out + fmt::format(">\n      <failure type=\"{}\" message=\"{}\"/>\n    </testcase>\n",
                               to_string(row.verdict), finding);
    case 3:
      ++counts.skipped;
      return out + fmt::format(">\n      <skipped message=\"{}: {}\"/>\n    </testcase>\n",
                               to_string(row.verdict), finding);
    default:
      return out + fmt::format(">\n      <system-out>{}: {}</system-out>\n    </testcase>\n",
                               to_string(row.verdict), finding);
  }
}

std::string junit_control(const CheckControl& control, const std::string& suite,
                          SuiteCounts& counts) {
  ++counts.tests;
  std::string out = fmt::format("    <testcase classname=\"{}\" name=\"{}\"",
                                xml_escaped(suite + ".controls"), xml_escaped(control.name));
  if (control.as_expected) return out + "/>\n";
  ++counts.errors;
  return out + fmt::format(">\n      <error type=\"control\" message=\"{}\"/>\n    </testcase>\n",
                           xml_escaped(control_text(control)));
}

/// The data of a workflow command.
std::string command_data(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '%') {
      out += "%25";
    } else if (c == '\r') {
      out += "%0D";
    } else if (c == '\n') {
      out += "%0A";
    } else {
      out += c;
    }
  }
  return out;
}

/// A property of a workflow command, which also ends at a comma or a colon.
std::string command_property(std::string_view text) {
  std::string out;
  for (const char c : command_data(text)) {
    if (c == ':') {
      out += "%3A";
    } else if (c == ',') {
      out += "%2C";
    } else {
      out += c;
    }
  }
  return out;
}

/// Annotations of one level. GitHub shows ten a step and drops the rest without a word.
class Annotations {
 public:
  explicit Annotations(std::string_view level) : level_(level) {}

  void add(std::string_view title, std::string_view message) {
    lines_.push_back(
        fmt::format("::{} title={}::{}\n", level_, command_property(title), command_data(message)));
  }

  std::string text() const {
    static constexpr std::size_t kMost = 10;
    std::string out;
    const std::size_t shown = lines_.size() > kMost ? kMost - 1 : lines_.size();
    for (std::size_t i = 0; i < shown; ++i) out += lines_[i];
    if (shown < lines_.size()) {
      out += fmt::format("::{} title=attnbench::{} more; see the report\n", level_,
                         lines_.size() - shown);
    }
    return out;
  }

 private:
  std::string_view level_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string check_junit(const CheckReport& report) {
  SuiteCounts counts;
  const std::string suite = "attnbench " + std::string(to_string(report.kind));
  std::string cases;
  for (const CheckRow& row : report.rows) cases += junit_row(row, suite, counts);
  for (const CheckControl& each : report.controls) cases += junit_control(each, suite, counts);
  const std::string totals =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"", counts.tests,
                  counts.failures, counts.errors, counts.skipped);
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  out += fmt::format("<testsuites {}>\n  <testsuite name=\"{}\" {}>\n", totals, suite, totals);
  out += fmt::format("    <properties>\n      <property name=\"outcome\" value=\"{}\"/>\n",
                     xml_escaped(report.outcome));
  out += fmt::format("      <property name=\"exit_code\" value=\"{}\"/>\n    </properties>\n",
                     report.exit_code);
  return out + cases + "  </testsuite>\n</testsuites>\n";
}

std::string check_annotations(const CheckReport& report) {
  Annotations errors("error"), warnings("warning");
  for (const std::size_t i : rows_by_severity(report)) {
    const CheckRow& row = report.rows[i];
    const int code = exit_code_of(row.verdict);
    if (code == 0) break;
    const std::string title = fmt::format("{}: {}", to_string(row.verdict), row.label);
    (code == 1 ? errors : warnings).add(title, finding_text(row));
  }
  for (const CheckControl& control : report.controls) {
    if (!control.as_expected) errors.add("control " + control.name, control_text(control));
  }
  for (const std::string& warning : report.warnings) warnings.add("attnbench", warning);
  return errors.text() + warnings.text();
}

}  // namespace attnbench
