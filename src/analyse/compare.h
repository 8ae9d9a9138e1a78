// The verdict on every cell of two stored runs.
#pragma once

#include "analyse/compare_cells.h"
#include "analyse/compare_stats.h"
#include "record/check_report.h"

namespace attnbench::analyse {

/// Fills rows, figures, summary, outcome and exit code. With `judge` false (the machines differ, or
/// too few runs) ratios are shown, no row of a time gets another verdict than inconclusive, and the
/// exit code is 3.
void compare_cells(const CellTable& table, const CompareSettings& settings, bool judge,
                   CheckReport& report);

/// Sets outcome and exit code from the rows: after rows were added or accepted.
void conclude(CheckReport& report);

}  // namespace attnbench::analyse
