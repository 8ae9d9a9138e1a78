#include "record/markdown.h"

#include "record/people_table.h"

namespace attnbench {

std::string console_table(std::span<const Record> records) {
  const PeopleTable table = people_table(records, TableStyle::console);
  if (table.rows.empty()) return "no rows\n";
  return one_line(table.shared) + "\n" + aligned_lines(table);
}

std::string markdown_table(std::span<const Record> records) {
  const PeopleTable table = people_table(records, TableStyle::markdown);
  if (table.rows.empty()) return "no rows\n";
  std::string out = markdown_escaped(table.shared) + "\n\n" + markdown_headings(table);
  for (const auto& row : table.rows) out += markdown_row(row);
  return out;
}

}  // namespace attnbench
