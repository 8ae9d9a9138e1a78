// The contents of the tables for people, before they are aligned or turned into Markdown.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record/record.h"

namespace attnbench {

struct PeopleTable {
  struct Heading {
    std::string text;
    bool right_aligned = false;
  };
  std::string shared;  ///< What all rows have in common: "B=1 H=4 D=64 ...".
  std::vector<Heading> headings;
  std::vector<std::vector<std::string>> rows;
};

/// Which columns and which signs to use.
enum class TableStyle { console, markdown };

PeopleTable people_table(std::span<const Record> records, TableStyle style);

/// Line breaks, tabs and control characters (terminal escapes) become blanks.
std::string one_line(std::string_view text);
/// One line in which nothing is Markdown or HTML.
std::string markdown_escaped(std::string_view text);

/// Headings, a rule and the rows in aligned columns; no trailing blanks.
std::string aligned_lines(const PeopleTable& table);
/// The head of a GitHub Markdown table, two lines, and one line of it; cells are escaped.
std::string markdown_headings(const PeopleTable& table);
std::string markdown_row(const std::vector<std::string>& cells);

}  // namespace attnbench
