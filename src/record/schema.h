// The columns of summary.csv and samples.csv: the single source for the writers, the readers and
// docs/csv_schema.md.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "attention/result.h"
#include "record/record.h"

namespace attnbench {

enum class CellType { text, boolean, integer, natural, real };

/// A typed cell; monostate is an absent value (an empty cell in CSV, null in JSON).
using CellValue =
    std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

/// What is known of a column apart from where its values live.
struct ColumnFacts {
  std::string_view name;
  std::string_view unit;  ///< SI, "1" for pure numbers, empty for text.
  std::string_view definition;
  CellType type = CellType::text;
  bool may_be_empty = true;
  /// Inclusive range of integers and reals.
  double minimum = 0;
  double maximum = std::numeric_limits<double>::max();
  bool may_be_infinite = false;  ///< An error figure of an output that is not finite.

  /// "a finite number >= 0, or nothing".
  std::string accepted() const;
};

/// A column of a table of `Row`s.
template <class Row>
struct Column : ColumnFacts {
  CellValue (*get)(const Row& row) = nullptr;
  /// Takes a value of this column's type, or monostate where the column may be empty. The error's
  /// message says what is accepted.
  Status (*set)(Row& row, CellValue&& value) = nullptr;
};

/// Columns of summary.csv (Record) and samples.csv (SampleRow), in file order.
template <class Row>
std::span<const Column<Row>> columns();
template <>
std::span<const Column<Record>> columns<Record>();
template <>
std::span<const Column<SampleRow>> columns<SampleRow>();

/// The columns that identify a case: `variant` to `threads`.
std::span<const Column<Record>> axis_columns();

/// Column names in file order.
std::vector<std::string> summary_header();
std::vector<std::string> samples_header();

/// The cell as written in CSV, before quoting. A number that is not finite and may not be infinite
/// is absent.
std::string cell_text(const ColumnFacts& column, const CellValue& value);
/// Reads one cell; the error says what was given and what is accepted, not where.
Result<CellValue> parse_cell(const ColumnFacts& column, std::string_view text);
/// Checks a typed value that does not come from text: range, finiteness, presence.
Status check_cell(const ColumnFacts& column, const CellValue& value);

/// A row's cells in file order.
template <class Row>
std::vector<std::string> to_cells(const Row& row);
/// The inverse; as many cells as there are columns. Errors name the column, the value and what is
/// accepted.
template <class Row>
Result<Row> from_cells(std::span<const std::string> cells);
/// Sets one column from text; the same errors.
template <class Row>
Status set_cell(const Column<Row>& column, Row& row, std::string_view text);

/// The columns as a Markdown table: what docs/csv_schema.md holds.
template <class Row>
std::string columns_markdown();

}  // namespace attnbench
