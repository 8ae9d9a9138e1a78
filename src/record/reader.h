// Reads summary.csv and samples.csv, row by row or whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record/csv.h"
#include "record/schema.h"

namespace attnbench {

/// Streams the rows of one file. Columns are found by name in any order; unknown ones are accepted
/// behind the last known one. Any variant name is accepted, known to this build or not. Errors
/// (Error::Kind::io) name the file, the line, the column, the value and what is accepted.
template <class Row>
class TableReader {
 public:
  /// Reads the header. A summary.csv of another schema version is an error, and so are missing and
  /// repeated columns.
  static Result<TableReader> open(const std::string& path);
  /// The same on text; `name` stands for the file in messages.
  static Result<TableReader> from_text(std::string text, const std::string& name);

  /// The next row, or false after the last.
  Result<bool> next(Row& row);
  /// "summary.csv:7: ", of the row given out last.
  std::string where() const { return csv_.where(); }

 private:
  explicit TableReader(CsvReader csv) : csv_(std::move(csv)) {}
  Status read_header();
  /// What is wrong with the header; empty when nothing is.
  std::string map_header(const std::vector<std::string>& header);
  /// Fetches the first row, and fails when the file is of another schema version.
  Status check_version(const std::vector<std::string>& header);

  CsvReader csv_;
  std::vector<std::string> cells_;
  /// Cell of each column, in schema order.
  std::vector<std::size_t> cell_of_column_;
  bool has_pending_ = false;  ///< cells_ holds a row that next() has not given out.
};

using SummaryReader = TableReader<Record>;
/// A last line without a line end was torn by a kill: it is left out.
using SamplesReader = TableReader<SampleRow>;

/// The whole file.
Result<std::vector<Record>> read_summary(const std::string& path);
Result<std::vector<SampleRow>> read_samples(const std::string& path);

}  // namespace attnbench
