#include "record/markdown.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "record/example.h"

namespace attnbench {
namespace {

using testing::example_record;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Significant, KeepsDigitsWithoutExponents) {
  EXPECT_EQ(significant(0, 4), "0");
  EXPECT_EQ(significant(0.0012345, 4), "0.001234");
  EXPECT_EQ(significant(1.25, 4), "1.250");
  EXPECT_EQ(significant(9.9999, 3), "10.0");
  EXPECT_EQ(significant(123456, 3), "123456");
  EXPECT_EQ(significant(1.5e-7, 3), "1.50e-07");
}

TEST(BytesText, ScalesByPowersOf1024) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(bytes_text(16.0 * 1024 * 1024), "16.0 MiB");
  EXPECT_EQ(bytes_text(5e15), "4547 TiB");
}

TEST(ConsoleTable, IsExact) {
  Record performer = example_record();
  performer.seed = 7;
  Record flash = performer;
  flash.axes.variant = "flash";
  flash.axes.params = "";
  flash.axes.seq_q = 2048;
  flash.reason.clear();
  flash.error_rel_l2 = 2.5e-7;
  Record failed = flash;
  failed.axes.variant = "hyena";
  failed.status = RowStatus::failed;
  failed.reason = "definition_rel_l2 0.5 > 1e-05";
  failed.time_median_s.reset();
  failed.gflops_performed.reset();
  failed.roofline_fraction.reset();
  failed.workspace_peak_bytes.reset();
  failed.error_rel_l2.reset();
  failed.definition_rel_l2 = 0.5;
  EXPECT_EQ("\n" + console_table(std::vector{performer, flash, failed}), R"(
mode=cross pass=fwd B=1 Hq=8 Hkv=2 D=64 Dv=32 causal=on dtype=f32 layout=bhnd isa=avx512 input=gaussian cache=hot seed=7
variant    params                           Nq/Nk  threads     median ms  GF/s  % of roofline  workspace      error  status
---------  ---------------------------  ---------  -------  ------------  ----  -------------  ---------  ---------  -------------------------------------
performer  features=256;kernel=softmax  1024/2048        2  1.250 +-2.0%  1200           50.0   1.00 MiB      0.250  ok: census 2.5, above 2 threads
flash                                   2048/2048        2  1.250 +-2.0%  1200           50.0   1.00 MiB    2.5e-07  ok
hyena                                   2048/2048        2                                      1.00 MiB  0.500 def  failed: definition_rel_l2 0.5 > 1e-05
)");
}

TEST(ConsoleTable, ShowsAxesThatVaryAndSharesTheOthers) {
  Record causal = example_record();
  Record full = example_record();
  full.axes.causal = false;
  const std::string both = console_table(std::vector{causal, full});
  EXPECT_EQ(lines_of(both)[0].find("causal="), std::string::npos);
  EXPECT_NE(lines_of(both)[1].find("causal"), std::string::npos);
  const std::string one = console_table(std::vector{causal});
  EXPECT_NE(lines_of(one)[0].find("causal=on"), std::string::npos);
  EXPECT_EQ(lines_of(one)[1].find("causal"), std::string::npos);
}

TEST(ConsoleTable, SkipsCarryTheirReasonOnOneLine) {
  Record skipped = testing::skipped_record();
  skipped.reason = "two\nlines \x1b[31mred";
  const auto lines = lines_of(console_table(std::vector{skipped}));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_NE(lines[3].find("skipped: two lines  [31mred"), std::string::npos);
}

TEST(ConsoleTable, HasNoRowsWithoutRecords) {
  EXPECT_EQ(console_table(std::vector<Record>{}), "no rows\n");
  EXPECT_EQ(markdown_table(std::vector<Record>{}), "no rows\n");
}

TEST(ConsoleTable, ShowsInfiniteErrors) {
  Record record = example_record();
  record.error_rel_l2 = HUGE_VAL;
  EXPECT_NE(console_table(std::vector{record}).find("  inf  "), std::string::npos);
}

TEST(MarkdownTable, EscapesWhatMarkdownReads) {
  Record record = testing::skipped_record("a|b");
  record.reason = "x < y | *z*\nnext `code` a_b \\";
  const auto lines = lines_of(markdown_table(std::vector{record}));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_NE(lines[4].find("| a\\|b |"), std::string::npos);
  EXPECT_NE(lines[4].find("skipped: x &lt; y \\| \\*z\\* next \\`code\\` a\\_b \\\\ |"),
            std::string::npos);
}

TEST(MarkdownTable, EveryRowIsAsWideAsItsHeading) {
  const auto lines =
      lines_of(markdown_table(std::vector{example_record(), testing::skipped_record()}));
  ASSERT_EQ(lines.size(), 6u);
  const auto bars = [](const std::string& line) {
    return std::count(line.begin(), line.end(), '|');
  };
  for (std::size_t i = 2; i < lines.size(); ++i) EXPECT_EQ(bars(lines[i]), bars(lines[2])) << i;
  EXPECT_NE(lines[4].find("1.250 ± 2.0%"), std::string::npos);
  EXPECT_NE(lines[4].find("0.795"), std::string::npos);
  EXPECT_NE(lines[5].find("skipped: needs 17.2 GiB, 8 GiB are free"), std::string::npos);
}

}  // namespace
}  // namespace attnbench
