#include "record/csv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "record/example.h"

namespace attnbench {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Result<Rows> rows_of(const std::string& text,
                     CsvReader::TornRow torn = CsvReader::TornRow::accept) {
  CsvReader reader(text, "t.csv", torn);
  Rows rows;
  while (true) {
    std::vector<std::string> cells;
    Result<bool> more = reader.next(cells);
    if (!more) return more.error();
    if (!*more) return rows;
    rows.push_back(cells);
  }
}

std::string error_of(const std::string& text) {
  auto rows = rows_of(text);
  return rows ? "no error" : rows.error().message;
}

std::string written(const std::vector<std::string>& cells) {
  std::string out;
  append_csv_row(out, cells);
  return out;
}

TEST(CsvWriter, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(written({"a", "", "b c", "x;y=z", "it's"}), "a,,b c,x;y=z,it's\r\n");
  EXPECT_EQ(written({"a,b", "say \"hi\"", "two\nlines", "cr\rhere"}),
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"cr\rhere\"\r\n");
  EXPECT_EQ(written({"\""}), "\"\"\"\"\r\n");
}

TEST(CsvReader, ReadsBackWhatTheWriterQuotes) {
  const Rows rows{{"a,b", "say \"hi\"", "two\r\nlines"}, {"", "\"", "\xc3\xa9\xe2\x82\xac"}};
  std::string text;
  for (const auto& row : rows) append_csv_row(text, row);
  const auto back = rows_of(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, rows);
}

TEST(CsvReader, ToleratesByteOrderMarkLineFeedsAndMissingLastLineEnd) {
  const Rows expected{{"a", "b"}, {"1", "2"}};
  for (const char* text : {"a,b\r\n1,2\r\n", "a,b\n1,2\n", "a,b\n1,2",
                           "\xef\xbb\xbf"
                           "a,b\n1,2\n",
                           "a,b\n1,\"2\"", "a,b\r\n1,2\r\n\r\n\r\n"}) {
    const auto rows = rows_of(text);
    ASSERT_TRUE(rows) << text << rows.error().message;
    EXPECT_EQ(*rows, expected) << text;
  }
  EXPECT_TRUE(rows_of("")->empty());
}

TEST(CsvReader, NamesFileAndLineOfWhatIsWrong) {
  EXPECT_EQ(error_of("a,b\n1,2\n3\n"), "t.csv:3: 1 cells where the header has 2");
  EXPECT_EQ(error_of("a,b\n1,2,\n"), "t.csv:2: 3 cells where the header has 2");
  EXPECT_EQ(error_of("a,b\n1,\"x\ny\nz\"\n1\n"), "t.csv:5: 1 cells where the header has 2");
  EXPECT_EQ(error_of("a,b\n1,x\"y\n"), "t.csv:2: quote inside a cell that does not begin with one");
  EXPECT_EQ(error_of("a,b\n1,\"x\"y\n"), "t.csv:2: text behind a closing quote");
  EXPECT_EQ(error_of("a,b\n1,\"x\n\n"), "t.csv:4: the quote opened in line 2 is never closed");
  EXPECT_EQ(error_of("a,b\n1,x\ry\n"), "t.csv:2: carriage return without line feed");
  EXPECT_EQ(error_of(std::string("a,b\n1,\0\n", 8)), "t.csv:2: NUL byte: this is not a text file");
  EXPECT_EQ(error_of("a,b\n\n1,2\n"), "t.csv:2: blank line between rows");
}

TEST(CsvReader, DropsATornLastRowWhenAsked) {
  const Rows expected{{"a", "b"}, {"1", "2"}};
  for (const char* torn : {"", "3", "3,", "3,4", "3,4\r", "3,\"4", "3,\"4\""}) {
    const auto rows = rows_of(std::string("a,b\r\n1,2\r\n") + torn, CsvReader::TornRow::drop);
    ASSERT_TRUE(rows) << torn << ": " << rows.error().message;
    EXPECT_EQ(*rows, expected) << torn;
  }
  EXPECT_FALSE(rows_of("a,b\r\n3\r\n1,2", CsvReader::TornRow::drop));
}

TEST(CsvReader, CrossesItsBlocks) {
  std::string text = "a,b\n";
  Rows expected{{"a", "b"}};
  for (int i = 0; i < 30000; ++i) {
    expected.push_back({std::to_string(i), i % 7 == 0 ? "q\"," : "plain"});
    append_csv_row(text, expected.back());
  }
  const auto rows = rows_of(text);
  ASSERT_TRUE(rows);
  EXPECT_EQ(*rows, expected);
}

TEST(CsvReader, MissingFilesAndDirectoriesAreErrors) {
  const testing::ScratchDirectory scratch;
  const auto missing = CsvReader::open(scratch.file("none.csv"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, Error::Kind::io);
  EXPECT_NE(missing.error().message.find("none.csv: cannot read: No such file"), std::string::npos);
  EXPECT_FALSE(CsvReader::open(scratch.file(".")));
}

TEST(Numbers, AreTheShortestTextThatReadsBack) {
  EXPECT_EQ(format_real(0.001), "0.001");
  EXPECT_EQ(format_real(1e-5), "1e-05");
  EXPECT_EQ(format_real(3221225472.0), "3221225472");
  EXPECT_EQ(format_real(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(format_real(HUGE_VAL), "inf");
  for (double value : {5e-324, 1.7976931348623157e308, 1.0 / 3, -0.0, 123456.789e-30}) {
    ASSERT_TRUE(parse_real(format_real(value)));
    EXPECT_EQ(*parse_real(format_real(value)), value);
  }
}

TEST(Numbers, RefuseWhatIsNotOne) {
  for (const char* text : {"", " 1", "1 ", "+1", "1,5", "0x10", "1e999", "one", "1.2.3", "--1"}) {
    EXPECT_FALSE(parse_real(text)) << text;
    EXPECT_FALSE(parse_integer(text)) << text;
    EXPECT_FALSE(parse_unsigned(text)) << text;
  }
  for (const char* text : {"1.5", "inf", "nan", "9223372036854775808", "1e17"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
  EXPECT_FALSE(parse_unsigned("-1"));
  EXPECT_FALSE(parse_unsigned("18446744073709551616"));
  EXPECT_EQ(parse_integer("4.0"), 4);
  EXPECT_EQ(parse_integer("1e3"), 1000);
  EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_unsigned("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
}

TEST(QuotedExcerpt, IsShortAndPrintable) {
  EXPECT_EQ(quoted_excerpt("a\tb\x1b[0m"), "'a\\x09b\\x1b[0m'");
  EXPECT_EQ(quoted_excerpt(std::string(100, 'x')), "'" + std::string(60, 'x') + "...'");
  EXPECT_EQ(quoted_excerpt(std::string(59, 'x') + "\xe2\x82\xac tail"),
            "'" + std::string(59, 'x') + "...'");
}

}  // namespace
}  // namespace attnbench
