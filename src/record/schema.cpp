#include "record/schema.h"

#include <fmt/format.h>

#include <cmath>

#include "record/csv.h"

namespace attnbench {
namespace {

std::string range_text(const ColumnFacts& column) {
  constexpr double kShown = 1e9;
  if (column.maximum > kShown) return fmt::format(" >= {}", format_real(column.minimum));
  return fmt::format(" in [{}, {}]", format_real(column.minimum), format_real(column.maximum));
}

Error not_accepted(const ColumnFacts& column, std::string_view text) {
  return io_error(fmt::format("column {}: {} is not accepted; expected {}", column.name,
                              text.empty() ? "an empty cell" : quoted_excerpt(text),
                              column.accepted()));
}

bool in_range(const ColumnFacts& column, double value) {
  if (std::isinf(value)) return value > 0 && column.may_be_infinite;
  return value >= column.minimum && value <= column.maximum;  // False for NaN.
}

bool accepts(const ColumnFacts& column, const CellValue& value) {
  switch (value.index()) {
    case 0:
      return column.may_be_empty;
    case 1:
      return column.type == CellType::boolean;
    case 2:
      return column.type == CellType::integer &&
             in_range(column, static_cast<double>(std::get<std::int64_t>(value)));
    case 3:
      return column.type == CellType::natural;
    case 4:
      return column.type == CellType::real && in_range(column, std::get<double>(value));
    default:
      return column.type == CellType::text;
  }
}

template <class T>
CellValue value_or_bool(const std::optional<T>& parsed) {
  // A boolean fits no numeric column, so that an unreadable number is refused by accepts().
  return parsed ? CellValue{*parsed} : CellValue{false};
}

CellValue typed_value(const ColumnFacts& column, std::string_view text) {
  switch (column.type) {
    case CellType::boolean:
      if (text == "true" || text == "false") return text == "true";
      return 0.0;
    case CellType::integer:
      return value_or_bool(parse_integer(text));
    case CellType::natural:
      return value_or_bool(parse_unsigned(text));
    case CellType::real:
      return value_or_bool(parse_real(text));
    case CellType::text:
      break;
  }
  return CellValue{std::in_place_type<std::string>, text};
}

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string_view type_text(const ColumnFacts& column) {
  switch (column.type) {
    case CellType::text:
      return "text";
    case CellType::boolean:
      return "true, false";
    case CellType::integer:
    case CellType::natural:
      return "integer";
    case CellType::real:
      break;
  }
  return "number";
}

template <class Row>
std::vector<std::string> header_of() {
  std::vector<std::string> names;
  for (const auto& column : columns<Row>()) names.emplace_back(column.name);
  return names;
}

}  // namespace

std::string ColumnFacts::accepted() const {
  std::string text;
  switch (type) {
    case CellType::text:
      text = "text";
      break;
    case CellType::boolean:
      text = "true or false";
      break;
    case CellType::integer:
      text = "an integer" + range_text(*this);
      break;
    case CellType::natural:
      text = "an integer in [0, 2^64)";
      break;
    case CellType::real:
      text = (may_be_infinite ? "inf or a number" : "a finite number") + range_text(*this);
      break;
  }
  return may_be_empty ? text + ", or nothing" : text;
}

std::string cell_text(const ColumnFacts& column, const CellValue& value) {
  switch (value.index()) {
    case 0:
      return "";
    case 1:
      return std::get<bool>(value) ? "true" : "false";
    case 2:
      return std::to_string(std::get<std::int64_t>(value));
    case 3:
      return std::to_string(std::get<std::uint64_t>(value));
    case 4: {
      const double real = std::get<double>(value);
      const bool writable = std::isfinite(real) || (column.may_be_infinite && real > 0);
      return writable ? format_real(real) : "";
    }
    default:
      return std::get<std::string>(value);
  }
}

Status check_cell(const ColumnFacts& column, const CellValue& value) {
  if (accepts(column, value)) return ok_status();
  return not_accepted(column, cell_text(column, value));
}

Result<CellValue> parse_cell(const ColumnFacts& column, std::string_view text) {
  CellValue value = text.empty() ? CellValue{} : typed_value(column, text);
  if (!accepts(column, value)) return not_accepted(column, text);
  return value;
}

std::vector<std::string> summary_header() { return header_of<Record>(); }
std::vector<std::string> samples_header() { return header_of<SampleRow>(); }

template <class Row>
std::vector<std::string> to_cells(const Row& row) {
  std::vector<std::string> cells;
  cells.reserve(columns<Row>().size());
  for (const auto& column : columns<Row>()) cells.push_back(cell_text(column, column.get(row)));
  return cells;
}

template <class Row>
Status set_cell(const Column<Row>& column, Row& row, std::string_view text) {
  Result<CellValue> value = parse_cell(column, text);
  if (!value) return value.error();
  if (Status set = column.set(row, std::move(*value)); !set) {
    return io_error(fmt::format("column {}: {} is not accepted; {}", column.name,
                                quoted_excerpt(text), set.error().message));
  }
  return ok_status();
}

template <class Row>
Result<Row> from_cells(std::span<const std::string> cells) {
  const auto all = columns<Row>();
  if (cells.size() != all.size()) {
    return io_error(
        fmt::format("{} cells where the schema has {} columns", cells.size(), all.size()));
  }
  Row row;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (Status set = set_cell(all[i], row, cells[i]); !set) return set.error();
  }
  return row;
}

template <class Row>
std::string columns_markdown() {
  std::string out = "| # | column | type | unit | definition |\n|--:|---|---|---|---|\n";
  int number = 0;
  for (const auto& column : columns<Row>()) {
    out += fmt::format("| {} | `{}` | {} | {} | {} |\n", ++number, column.name, type_text(column),
                       column.unit, markdown_cell(column.definition));
  }
  return out;
}

template std::vector<std::string> to_cells(const Record&);
template std::vector<std::string> to_cells(const SampleRow&);
template Result<Record> from_cells<Record>(std::span<const std::string>);
template Result<SampleRow> from_cells<SampleRow>(std::span<const std::string>);
template Status set_cell(const Column<Record>&, Record&, std::string_view);
template Status set_cell(const Column<SampleRow>&, SampleRow&, std::string_view);
template std::string columns_markdown<Record>();
template std::string columns_markdown<SampleRow>();

}  // namespace attnbench
