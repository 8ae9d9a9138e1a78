// RFC 4180 comma-separated values: UTF-8, CRLF line ends, a header row, every row equally wide.
// Numbers are written and read independently of the locale.
#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"

namespace attnbench {

/// The shortest decimal text that reads back to the same double: "0.001", "1e-05", "inf".
std::string format_real(double value);
/// The whole text as a number, with '.' as the decimal point; nothing for anything else (blanks, a
/// leading '+', trailing words, values that a double cannot hold). Accepts "inf" and "nan".
std::optional<double> parse_real(std::string_view text);
/// The whole text as a decimal integer. "4.0" and "1e3" count as integers: programs that keep such
/// columns as floating point write them so.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

/// Appends one row with its line end; cells that contain a comma, a quote or a line break are
/// quoted.
void append_csv_row(std::string& out, std::span<const std::string> cells);

/// Text from a file for an error message: in quotes, shortened, control characters escaped.
std::string quoted_excerpt(std::string_view text);

/// Reads rows one at a time. Strict: a quote inside a bare cell, text after a closing quote, an
/// unterminated quote, a bare carriage return, a NUL byte, a blank line between rows and a row
/// whose width differs from the first one's are errors that name file:line. A byte order mark and
/// LF line ends are accepted.
class CsvReader {
 public:
  /// What to make of a last row without a line end.
  enum class TornRow { accept, drop };

  static Result<CsvReader> open(const std::string& path, TornRow torn_row = TornRow::accept);
  /// Reads `text`; `name` stands for the file in messages.
  CsvReader(std::string text, std::string name, TornRow torn_row);

  /// The next row's cells, or false after the last row.
  Result<bool> next(std::vector<std::string>& cells);
  /// Line on which the row returned last begins, from 1.
  std::int64_t line() const { return row_line_; }
  const std::string& name() const { return name_; }
  /// "summary.csv:7: ".
  std::string where() const;

 private:
  enum class RowEnd { line_end, end_of_file };

  CsvReader(std::unique_ptr<std::istream> input, std::string name, TornRow torn_row);
  /// The next byte, or -1 at the end.
  int peek();
  int get();
  bool fill();
  Error error(const std::string& message) const;
  Result<RowEnd> read_row(std::vector<std::string>& cells);
  /// Reads up to the delimiter behind the cell, which stays unread.
  Status read_cell(std::string& cell);
  Status read_quoted(std::string& cell);
  Status check_byte(int byte) const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  TornRow torn_row_;
  std::string buffer_;
  std::size_t position_ = 0;
  std::int64_t line_ = 1;
  std::int64_t row_line_ = 1;
  std::size_t width_ = 0;
  bool started_ = false;
};

}  // namespace attnbench
