// What a comparison of two builds or two stored runs found, and how it is told: `compare`, `gate`
// and its exact metrics fill one structure, and every writer reads that structure alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attention/result.h"

namespace attnbench {

enum class CheckKind { compare, gate_ab, gate_aa, exact };
/// "compare", "gate ab", "gate aa", "exact".
std::string_view to_string(CheckKind kind);

/// What is said of one cell. In the order in which reports list them: worst first.
enum class CheckVerdict {
  regression,    ///< Slower (or more) than the margin allows.
  failed,        ///< Ran in the base, failed in the head.
  missing,       ///< Measured in the base, absent from the head.
  unconfirmed,   ///< Suspicious, and not measured again for want of time.
  inconclusive,  ///< The noise does not tell.
  accepted,      ///< Worse, and within what a file of accepted slowdowns allows.
  improved,      ///< Better beyond the noise.
  added,         ///< Not in the base: nothing to compare with. Written "new".
  pass,
};
/// "regression", ..., "new", "pass".
std::string_view to_string(CheckVerdict verdict);

/// The exit code that a verdict asks for on its own: 1 for regression, failed and missing; 3 for
/// unconfirmed and inconclusive; 0 otherwise.
int exit_code_of(CheckVerdict verdict);

/// One of the two things that are compared.
struct CheckSide {
  std::string label;   ///< As given: a revision, a binary, a folder.
  std::string detail;  ///< Version, revision, compiler, machine; may be empty.
};

/// One cell under one metric. Values are of the metric's unit; ratio = head / base, so above 1 is
/// worse. Absent optionals are not known.
struct CheckRow {
  std::string label;    ///< One line that accepted-slowdown patterns match: analyse::cell_label.
  std::string case_id;  ///< As in summary.csv.
  std::string variant;
  std::string params;   ///< Canonical: "left=64;right=64".
  std::string problem;  ///< "N=1024 B=1 H=2 D=64 causal avx2".
  int threads = 1;
  std::string metric = "time";  ///< time, instructions, workspace, growth exponent, crossover.
  std::string unit = "s";       ///< s, instructions, bytes, or nothing.
  std::optional<double> base, head, ratio;
  /// Two-sided interval of the ratio, and the one-sided upper bound that a pass is judged by.
  std::optional<double> low, high, upper;
  std::optional<double> p_value;     ///< Of "no worse than the margin", adjusted for many cells.
  std::optional<double> detectable;  ///< Smallest ratio that would have been found, where known.
  CheckVerdict verdict = CheckVerdict::pass;
  std::string reason;
};

/// A measurement that proves the check itself: base against itself, or a known slowdown.
struct CheckControl {
  std::string name;  ///< "A/A", "+6% work".
  bool as_expected = true;
  std::optional<double> ratio, low, high;
  std::string detail;
};

struct CheckReport {
  CheckKind kind = CheckKind::compare;
  std::string title;    ///< "compare results/base with results/new".
  std::string outcome;  ///< One word or line: "PASS", "REGRESSION", "INCONCLUSIVE: ...".
  CheckSide base, head;
  std::vector<CheckRow> rows;
  std::vector<CheckControl> controls;
  std::vector<std::string> summary;  ///< Sentences for people, below the table.
  std::vector<std::string> warnings;
  /// Numbers for programs, in order: {"margin", 0.03}, {"launches", 24}.
  std::vector<std::pair<std::string, double>> figures;
  int exit_code = 0;
};

/// The exit code that the rows ask for: 1 before 3 before 0. Controls and errors come on top.
int exit_code_of_rows(const CheckReport& report);

/// How many rows have the verdict.
std::size_t count_rows(const CheckReport& report, CheckVerdict verdict);

/// Indices of the rows, worst verdict first, in their order within a verdict.
std::vector<std::size_t> rows_by_severity(const CheckReport& report);

/// Aligned plain text for a terminal. Beyond `most_rows` rows the passing ones are left out, then
/// the next best, and the text says how many.
std::string check_console(const CheckReport& report, std::size_t most_rows = 200);

/// GitHub refuses job summaries above 1 MiB.
inline constexpr std::size_t kMostMarkdownBytes = std::size_t{900} * 1024;

/// GitHub Markdown of at most `most_bytes` bytes: where the table would be larger, passing rows are
/// left out first, then the next best, and the text says how many.
std::string check_markdown(const CheckReport& report, std::size_t most_bytes = kMostMarkdownBytes);

/// One JSON object with every row; docs/ci.md has its keys.
std::string check_json(const CheckReport& report);

/// JUnit XML: a test case per row and per control. Regressions, failures and missing cells are
/// <failure>, controls that were not as expected <error>, what is inconclusive <skipped>.
std::string check_junit(const CheckReport& report);

/// GitHub workflow commands, one a line: ::error for what fails, ::warning for what is inconclusive
/// and for warnings. At most ten of each, which is what GitHub shows; the last one counts the rest.
std::string check_annotations(const CheckReport& report);

/// Writes check.json, check.md and check.xml into `folder` (made when missing), each atomically.
Status write_check_files(const CheckReport& report, const std::string& folder);

}  // namespace attnbench
