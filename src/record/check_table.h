// What the tables of a check report show: shared by console and Markdown.
#pragma once

#include <string>
#include <vector>

#include "record/check_report.h"
#include "record/people_table.h"

namespace attnbench {

/// The columns that any of the rows fills, and no rows yet.
class CheckTable {
 public:
  explicit CheckTable(const CheckReport& report);
  const PeopleTable& headings() const { return headings_; }
  std::vector<std::string> cells(const CheckRow& row) const;

 private:
  bool metric_ = false, upper_ = false, detectable_ = false;
  PeopleTable headings_;
};

/// "1.23 ms", "64.0 KiB", "12.3 M", "1.97"; empty when absent.
std::string check_value_text(const std::optional<double>& value, const std::string& unit);
/// A ratio for people: "+3.21%", "x2.35" from a doubling on; empty when absent.
std::string ratio_text(const std::optional<double>& ratio);
/// "[+1.20%, +5.21%]"; empty when either end is absent.
std::string interval_text(const std::optional<double>& low, const std::optional<double>& high);
/// "21 pass, 2 regression, 1 new": verdicts that occur, worst first.
std::string verdict_counts(const CheckReport& report);
/// "A/A: as expected, -0.10% [-0.60%, +0.40%]; detail".
std::string control_text(const CheckControl& control);

}  // namespace attnbench
