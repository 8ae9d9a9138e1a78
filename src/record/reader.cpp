#include "record/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

namespace attnbench {
namespace {

constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

template <class Row>
constexpr bool kIsSummary = std::is_same_v<Row, Record>;

template <class Row>
constexpr CsvReader::TornRow kTornRow =
    kIsSummary<Row> ? CsvReader::TornRow::accept : CsvReader::TornRow::drop;

template <class Row>
std::size_t column_index(std::string_view name) {
  const auto all = columns<Row>();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& column) { return column.name == name; });
  return found == all.end() ? kNowhere : static_cast<std::size_t>(found - all.begin());
}

template <class Row>
Result<std::vector<Row>> read_all(const std::string& path) {
  auto reader = TableReader<Row>::open(path);
  if (!reader) return reader.error();
  std::vector<Row> rows;
  while (true) {
    Row row;
    Result<bool> more = reader->next(row);
    if (!more) return more.error();
    if (!*more) return rows;
    rows.push_back(std::move(row));
  }
}

}  // namespace

template <class Row>
Result<TableReader<Row>> TableReader<Row>::open(const std::string& path) {
  Result<CsvReader> csv = CsvReader::open(path, kTornRow<Row>);
  if (!csv) return csv.error();
  TableReader reader(std::move(*csv));
  if (Status header = reader.read_header(); !header) return header.error();
  return reader;
}

template <class Row>
Result<TableReader<Row>> TableReader<Row>::from_text(std::string text, const std::string& name) {
  TableReader reader(CsvReader(std::move(text), name, kTornRow<Row>));
  if (Status header = reader.read_header(); !header) return header.error();
  return reader;
}

template <class Row>
Status TableReader<Row>::read_header() {
  std::vector<std::string> header;
  Result<bool> more = csv_.next(header);
  if (!more) return more.error();
  if (!*more) return io_error(csv_.name() + ": empty file; expected a header row");
  const std::string where = csv_.where();
  const std::string problem = map_header(header);
  // Another version has other columns: say that, rather than name the first one that differs.
  if constexpr (kIsSummary<Row>) {
    if (Status version = check_version(header); !version) return version;
  }
  if (!problem.empty()) return io_error(where + problem);
  return ok_status();
}

template <class Row>
std::string TableReader<Row>::map_header(const std::vector<std::string>& header) {
  const auto all = columns<Row>();
  cell_of_column_.assign(all.size(), kNowhere);
  std::size_t first_unknown = kNowhere;
  for (std::size_t cell = 0; cell < header.size(); ++cell) {
    const std::size_t column = column_index<Row>(header[cell]);
    if (column == kNowhere) {
      first_unknown = std::min(first_unknown, cell);
      continue;
    }
    if (cell_of_column_[column] != kNowhere) {
      return fmt::format("column {} appears twice", header[cell]);
    }
    if (first_unknown != kNowhere) {
      return fmt::format(
          "unknown column {} before {}; further columns are accepted behind the "
          "known ones only",
          quoted_excerpt(header[first_unknown]), header[cell]);
    }
    cell_of_column_[column] = cell;
  }
  for (std::size_t column = 0; column < all.size(); ++column) {
    if (cell_of_column_[column] != kNowhere) continue;
    return fmt::format("no column {}; expected the columns of schema {} (docs/csv_schema.md)",
                       all[column].name, kSchemaVersion);
  }
  return "";
}

template <class Row>
Status TableReader<Row>::check_version(const std::vector<std::string>& header) {
  const auto found = std::find(header.begin(), header.end(), "schema_version");
  if (found == header.end()) return ok_status();
  Result<bool> more = csv_.next(cells_);
  if (!more) return more.error();
  has_pending_ = *more;
  if (!has_pending_) return ok_status();
  const std::string& text = cells_[static_cast<std::size_t>(found - header.begin())];
  const auto version = parse_integer(text);
  if (!version || *version == kSchemaVersion) return ok_status();
  return io_error(fmt::format("{}schema_version is {}; this build reads schema {}", csv_.where(),
                              *version, kSchemaVersion));
}

template <class Row>
Result<bool> TableReader<Row>::next(Row& row) {
  if (!has_pending_) {
    Result<bool> more = csv_.next(cells_);
    if (!more) return more.error();
    if (!*more) return false;
  }
  has_pending_ = false;
  const auto all = columns<Row>();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (Status set = set_cell(all[i], row, cells_[cell_of_column_[i]]); !set) {
      return io_error(csv_.where() + set.error().message);
    }
  }
  return true;
}

template class TableReader<Record>;
template class TableReader<SampleRow>;

Result<std::vector<Record>> read_summary(const std::string& path) { return read_all<Record>(path); }
Result<std::vector<SampleRow>> read_samples(const std::string& path) {
  return read_all<SampleRow>(path);
}

}  // namespace attnbench
