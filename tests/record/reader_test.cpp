#include "record/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "record/example.h"

namespace attnbench {
namespace {

using testing::example_record;

/// A table as cells, header first, that a test may damage before writing it.
using Table = std::vector<std::vector<std::string>>;

Table example_table() {
  return {summary_header(), to_cells(example_record()), to_cells(testing::skipped_record())};
}

std::string text_of(const Table& table) {
  std::string text;
  for (const auto& row : table) append_csv_row(text, row);
  return text;
}

std::size_t cell_index(std::string_view name) {
  const auto header = summary_header();
  return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
}

class ReaderTest : public ::testing::Test {
 protected:
  Result<std::vector<Record>> read(const std::string& text) {
    return read_summary(scratch_.write("summary.csv", text));
  }
  /// The message without the path of the scratch directory.
  std::string error_of(const std::string& text) {
    const auto rows = read(text);
    if (rows) return "no error";
    EXPECT_EQ(rows.error().kind, Error::Kind::io);
    return rows.error().message.substr(rows.error().message.find("summary.csv"));
  }
  std::string samples_error(const std::string& text) {
    const auto rows = read_samples(scratch_.write("samples.csv", text));
    if (rows) return "no error";
    return rows.error().message.substr(rows.error().message.find("samples.csv"));
  }
  testing::ScratchDirectory scratch_;
};

TEST_F(ReaderTest, ReadsWhatWasWritten) {
  const auto rows = read(text_of(example_table()));
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(to_cells((*rows)[0]), to_cells(example_record()));
  EXPECT_EQ(to_cells((*rows)[1]), to_cells(testing::skipped_record()));
  EXPECT_FALSE((*rows)[1].time_median_s);
}

TEST_F(ReaderTest, AcceptsAHeaderAlone) {
  const auto rows = read(text_of({summary_header()}));
  ASSERT_TRUE(rows);
  EXPECT_TRUE(rows->empty());
}

TEST_F(ReaderTest, FindsColumnsByNameAndIgnoresFurtherOnes) {
  Table table = example_table();
  for (auto& row : table) std::reverse(row.begin(), row.end());
  table[0].push_back("comment");
  table[1].push_back("a, b");
  table[2].push_back("");
  const auto rows = read(text_of(table));
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(to_cells((*rows)[0]), to_cells(example_record()));
}

TEST_F(ReaderTest, KeepsForeignVariantsAndCaseIds) {
  Table table = example_table();
  table[1][cell_index("variant")] = "attention-of-tomorrow";
  table[1][cell_index("case_id")] = "case-7";
  const auto rows = read(text_of(table));
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ((*rows)[0].axes.variant, "attention-of-tomorrow");
  EXPECT_EQ((*rows)[0].case_id(), "case-7");
}

TEST_F(ReaderTest, NamesFileLineColumnValueAndWhatIsAccepted) {
  Table table = example_table();
  table[2][cell_index("time_median_s")] = "-0.5";
  EXPECT_EQ(error_of(text_of(table)),
            "summary.csv:3: column time_median_s: '-0.5' is not accepted; expected a finite number "
            ">= 0, or nothing");
  table[2][cell_index("time_median_s")] = "NaN";
  EXPECT_EQ(error_of(text_of(table)),
            "summary.csv:3: column time_median_s: 'NaN' is not accepted; expected a finite number "
            ">= 0, or nothing");
}

TEST_F(ReaderTest, RefusesDamagedHeaders) {
  EXPECT_EQ(error_of(""), "summary.csv: empty file; expected a header row");
  Table twice = example_table();
  for (auto& row : twice) row.push_back(row[cell_index("time_median_s")]);
  EXPECT_EQ(error_of(text_of(twice)), "summary.csv:1: column time_median_s appears twice");
  Table missing = example_table();
  for (auto& row : missing) row.erase(row.begin() + 5);
  EXPECT_EQ(error_of(text_of(missing)),
            "summary.csv:1: no column exactness; expected the columns of schema 1 "
            "(docs/csv_schema.md)");
  Table unknown = example_table();
  for (auto& row : unknown) row.insert(row.begin(), "index");
  EXPECT_EQ(error_of(text_of(unknown)),
            "summary.csv:1: unknown column 'index' before schema_version; further columns are "
            "accepted behind the known ones only");
  EXPECT_EQ(error_of("{\"json\": true}\n"),
            "summary.csv:1: quote inside a cell that does not begin with one");
}

TEST_F(ReaderTest, RefusesAnotherSchemaVersionBeforeItsColumns) {
  EXPECT_EQ(error_of("schema_version,run_id,throughput\n2,r,5\n"),
            "summary.csv:2: schema_version is 2; this build reads schema 1");
  Table mixed = example_table();
  mixed[2][0] = "3";
  EXPECT_EQ(error_of(text_of(mixed)),
            "summary.csv:3: column schema_version: '3' is not accepted; this build reads schema 1");
  EXPECT_EQ(error_of("a,b\n1,2\n"),
            "summary.csv:1: no column schema_version; expected the columns of schema 1 "
            "(docs/csv_schema.md)");
}

TEST_F(ReaderTest, RefusesRowsOfAnotherWidth) {
  const std::string text = text_of(example_table());
  EXPECT_EQ(error_of(text.substr(0, text.size() - 13)),
            "summary.csv:3: 49 cells where the header has 59");
  EXPECT_EQ(error_of(text + "1,2,3\r\n"), "summary.csv:4: 3 cells where the header has 59");
}

TEST_F(ReaderTest, MissingFileIsAnError) {
  const auto rows = read_summary(scratch_.file("none.csv"));
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().kind, Error::Kind::io);
}

TEST_F(ReaderTest, ReadsSamplesAndLeavesOutATornLine) {
  const std::string good =
      "case_id,round,order,inner_iterations,time_s,cpu_time_s,start_s\r\n"
      "c1,0,0,4,0.01,0.02,0.5\r\n";
  const auto rows = read_samples(scratch_.write("samples.csv", good + "c2,1,0,4,0.01,0.02,1.7"));
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ((*rows)[0].case_id, "c1");
  EXPECT_EQ((*rows)[0].inner_iterations, 4);
  EXPECT_EQ((*rows)[0].start_s, 0.5);
  EXPECT_EQ(
      samples_error(good + "c2,1,0,0,0.01,0.02,1\n"),
      "samples.csv:3: column inner_iterations: '0' is not accepted; expected an integer >= 1");
  EXPECT_EQ(samples_error(good + "c2,1,0,4,-0.01,0.02,1\n"),
            "samples.csv:3: column time_s: '-0.01' is not accepted; expected a finite number >= 0");
  EXPECT_EQ(samples_error(good + ",1,0,4,0.01,0.02,1\n"),
            "samples.csv:3: column case_id: an empty cell is not accepted; expected text");
}

TEST_F(ReaderTest, StreamsManyRows) {
  std::string text = text_of({summary_header()});
  const std::string row = text_of({to_cells(example_record())});
  constexpr int kRows = 20000;
  text.reserve(text.size() + row.size() * kRows);
  for (int i = 0; i < kRows; ++i) text += row;
  auto reader = SummaryReader::open(scratch_.write("summary.csv", text));
  ASSERT_TRUE(reader);
  Record record;
  int count = 0;
  while (true) {
    const auto more = reader->next(record);
    ASSERT_TRUE(more) << more.error().message;
    if (!*more) break;
    ++count;
  }
  EXPECT_EQ(count, kRows);
  EXPECT_EQ(to_cells(record), to_cells(example_record()));
}

}  // namespace
}  // namespace attnbench
