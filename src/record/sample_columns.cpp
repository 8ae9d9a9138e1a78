// The columns of samples.csv, in file order (docs/csv_schema.md shows this table).
#include <array>

#include "record/column_of.h"

namespace attnbench {
namespace {

template <auto Member>
Column<SampleRow> of(std::string_view name, std::string_view unit, std::string_view definition) {
  return columns_detail::column_of<SampleRow, Member>(name, unit, definition);
}

Column<SampleRow> case_id_column() {
  auto column =
      of<&SampleRow::case_id>("case_id", "", "The row of summary.csv that it belongs to.");
  column.may_be_empty = false;
  return column;
}

const auto kColumns = std::to_array<Column<SampleRow>>({
    case_id_column(),
    of<&SampleRow::round>(
        "round", "1",
        "Round of the group of cases that are interleaved, from 0; a number is left out where the "
        "group was returned to at the end of the sweep. Rounds are "
        "the independent units of the intervals."),
    of<&SampleRow::order>("order", "1", "Position within its round, from 0; drawn at random."),
    columns_detail::column_from<SampleRow, &SampleRow::inner_iterations>(
        1, "inner_iterations", "1", "Calls that this one sample timed together."),
    of<&SampleRow::time_s>("time_s", "s", "Wall time per call."),
    of<&SampleRow::cpu_time_s>("cpu_time_s", "s", "CPU time of the whole process per call."),
    of<&SampleRow::start_s>("start_s", "s", "When the sample began, since the run began."),
});

}  // namespace

template <>
std::span<const Column<SampleRow>> columns<SampleRow>() {
  return kColumns;
}

}  // namespace attnbench
