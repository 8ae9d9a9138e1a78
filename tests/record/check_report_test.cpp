#include "record/check_report.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "record/example.h"
#include "record/files.h"

namespace attnbench {
namespace {

constexpr int kVerdicts = static_cast<int>(CheckVerdict::pass) + 1;

CheckRow example_row(CheckVerdict verdict, const std::string& label = "flash N=1024 T=1") {
  CheckRow row;
  row.label = label;
  row.variant = "flash";
  row.verdict = verdict;
  row.base = 0.001;
  row.head = 0.00107;
  row.ratio = 1.07;
  row.low = 1.05;
  row.high = 1.09;
  row.upper = 1.085;
  return row;
}

CheckReport example_report() {
  CheckReport report;
  report.title = "compare a with b";
  report.outcome = "REGRESSION";
  report.base = {"a", "3 runs"};
  report.head = {"b", ""};
  report.exit_code = 1;
  report.rows = {example_row(CheckVerdict::pass, "full N=256 T=1"),
                 example_row(CheckVerdict::regression)};
  report.controls = {{"A/A", true, 0.999, 0.995, 1.003, ""}};
  report.figures = {{"margin", 0.03}};
  return report;
}

std::size_t occurrences(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST(CheckReport, ExitCodesFollowTheVerdicts) {
  EXPECT_EQ(exit_code_of(CheckVerdict::regression), 1);
  EXPECT_EQ(exit_code_of(CheckVerdict::failed), 1);
  EXPECT_EQ(exit_code_of(CheckVerdict::missing), 1);
  EXPECT_EQ(exit_code_of(CheckVerdict::unconfirmed), 3);
  EXPECT_EQ(exit_code_of(CheckVerdict::inconclusive), 3);
  for (auto verdict :
       {CheckVerdict::accepted, CheckVerdict::improved, CheckVerdict::added, CheckVerdict::pass}) {
    EXPECT_EQ(exit_code_of(verdict), 0);
  }
  CheckReport report;
  EXPECT_EQ(exit_code_of_rows(report), 0);
  report.rows = {example_row(CheckVerdict::pass), example_row(CheckVerdict::inconclusive)};
  EXPECT_EQ(exit_code_of_rows(report), 3);
  report.rows.insert(report.rows.begin(), example_row(CheckVerdict::missing));
  EXPECT_EQ(exit_code_of_rows(report), 1);
}

TEST(CheckReport, VerdictsHaveDifferentNames) {
  std::set<std::string_view> names;
  for (int i = 0; i < kVerdicts; ++i) names.insert(to_string(static_cast<CheckVerdict>(i)));
  EXPECT_EQ(names.size(), kVerdicts);
}

TEST(CheckReport, WorstRowsComeFirst) {
  const std::string text = check_console(example_report());
  EXPECT_LT(text.find("regression"), text.find("full N=256"));
  EXPECT_NE(text.find("+7.00%"), std::string::npos);
  EXPECT_NE(text.find("[+5.00%, +9.00%]"), std::string::npos);
  EXPECT_NE(text.find("1.070 ms"), std::string::npos);
  EXPECT_NE(text.find("control A/A: as expected, -0.10%"), std::string::npos);
  EXPECT_NE(text.find("1 regression, 1 pass: REGRESSION"), std::string::npos);
}

TEST(CheckReport, ConsoleLeavesOutPassingRowsAndSaysSo) {
  CheckReport report = example_report();
  for (int i = 0; i < 300; ++i) report.rows.push_back(example_row(CheckVerdict::pass, "filler"));
  const std::string text = check_console(report, 100);
  EXPECT_EQ(occurrences(text, "filler"), 98);
  EXPECT_NE(text.find("202 passing rows are left out"), std::string::npos);
  EXPECT_NE(text.find("regression"), std::string::npos);
}

TEST(CheckReport, ConsoleHoldsNoTerminalEscapes) {
  CheckReport report = example_report();
  report.rows[0].label = "evil\x1b[2J\nname";
  report.warnings = {"a\x1b[31m"};
  const std::string text = check_console(report);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("evil [2J name"), std::string::npos);
}

TEST(CheckReport, MarkdownIsEscaped) {
  CheckReport report = example_report();
  report.rows[1].label = "a|b <img src=x> [x](y)";
  const std::string text = check_markdown(report);
  EXPECT_NE(text.find("a\\|b &lt;img src=x> \\[x](y)"), std::string::npos);
}

TEST(CheckReport, MarkdownStaysBelowItsLimitAndKeepsWhatFails) {
  CheckReport report = example_report();
  const std::string filler(200, 'x');
  for (int i = 0; i < 10000; ++i) report.rows.push_back(example_row(CheckVerdict::pass, filler));
  report.rows.push_back(example_row(CheckVerdict::missing, "the last one"));
  const std::string text = check_markdown(report);
  EXPECT_LE(text.size(), kMostMarkdownBytes);
  EXPECT_GT(text.size(), kMostMarkdownBytes * 9 / 10);
  EXPECT_NE(text.find("the last one"), std::string::npos);
  EXPECT_NE(text.find("passing rows are left out here"), std::string::npos);
  // Where even the failing ones are too many, and the rest of the text too.
  for (CheckRow& row : report.rows) row.verdict = CheckVerdict::regression;
  report.warnings.assign(10000, filler);
  const std::string most = check_markdown(report);
  EXPECT_LE(most.size(), kMostMarkdownBytes);
  EXPECT_NE(most.find("rows (0 of them passing) are left out here"), std::string::npos);
  EXPECT_NE(most.find("(shortened)"), std::string::npos);
}

TEST(CheckReport, JsonHoldsEveryRow) {
  CheckReport report = example_report();
  report.rows[0].ratio = std::numeric_limits<double>::quiet_NaN();
  report.rows[0].label = "bad \xff utf-8 \"quoted\"";
  const auto json = nlohmann::json::parse(check_json(report));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["kind"], "compare");
  EXPECT_EQ(json["exit_code"], 1);
  EXPECT_EQ(json["figures"]["margin"], 0.03);
  EXPECT_EQ(json["controls"][0]["as_expected"], true);
  ASSERT_EQ(json["rows"].size(), 2);
  EXPECT_TRUE(json["rows"][0]["ratio"].is_null());
  EXPECT_EQ(json["rows"][1]["verdict"], "regression");
  EXPECT_EQ(json["rows"][1]["ratio_upper"], 1.085);
  report.rows.clear();
  EXPECT_TRUE(nlohmann::json::parse(check_json(report))["rows"].empty());
}

TEST(CheckReport, JunitCountsAndEscapes) {
  CheckReport report = example_report();
  report.rows[1].reason = "a < b & \"c\"\x01\xff\n\xc3\xa9";
  report.rows.push_back(example_row(CheckVerdict::inconclusive));
  report.controls.push_back({"+6% work", false, std::nullopt, std::nullopt, std::nullopt, "blind"});
  const std::string text = check_junit(report);
  EXPECT_NE(text.find("<testsuites tests=\"5\" failures=\"1\" errors=\"1\" skipped=\"1\">"),
            std::string::npos)
      << text;
  EXPECT_EQ(occurrences(text, "<testcase "), 5);
  EXPECT_NE(text.find("a &lt; b &amp; &quot;c&quot;\xef\xbf\xbd\xef\xbf\xbd&#10;\xc3\xa9"),
            std::string::npos)
      << text;
}

TEST(CheckReport, AnnotationsAreEscapedAndCounted) {
  CheckReport report = example_report();
  report.rows[1].label = "a:b,c%";
  report.rows[1].reason = "100%\r\n::error::forged";
  const std::string text = check_annotations(report);
  EXPECT_EQ(occurrences(text, "\n"), 1) << text;
  EXPECT_NE(text.find("::error title=regression%3A a%3Ab%2Cc%25::+7.00%25 "), std::string::npos)
      << text;
  EXPECT_NE(text.find("100%25%0D%0A::error::forged"), std::string::npos) << text;
  report.rows.assign(12, example_row(CheckVerdict::regression));
  const std::string many = check_annotations(report);
  EXPECT_EQ(occurrences(many, "\n"), 10);
  EXPECT_NE(many.find("3 more"), std::string::npos);
  report.rows.assign(1, example_row(CheckVerdict::pass));
  EXPECT_EQ(check_annotations(report), "");
  report.rows.assign(1, example_row(CheckVerdict::inconclusive));
  EXPECT_EQ(check_annotations(report).find("::warning title=inconclusive"), 0);
}

TEST(CheckReport, FilesAreWrittenWhole) {
  const testing::ScratchDirectory scratch;
  const std::string folder = scratch.file("new/folder");
  ASSERT_TRUE(write_check_files(example_report(), folder));
  EXPECT_EQ(*read_file(folder + "/check.json"), check_json(example_report()));
  EXPECT_EQ(*read_file(folder + "/check.md"), check_markdown(example_report()));
  EXPECT_EQ(*read_file(folder + "/check.xml"), check_junit(example_report()));
  EXPECT_FALSE(write_check_files(example_report(), folder + "/check.json/x"));
}

}  // namespace
}  // namespace attnbench
