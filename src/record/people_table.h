// The contents of the tables for people, before they are aligned or turned into Markdown.
#pragma once

#include <span>
#include <string>
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

}  // namespace attnbench
