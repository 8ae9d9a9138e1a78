// Did growth exponents or crossovers get worse between stored runs?
#pragma once

#include <span>

#include "analyse/compare_stats.h"
#include "record/check_report.h"
#include "record/record.h"

namespace attnbench::analyse {

struct ComplexitySettings {
  /// Standard deviation of log times by which cells differ between runs of the same code; counted
  /// into the new run's intervals.
  double cell_sd = 0;
  /// A series that became slower by no more than this is not blamed for a crossover that moved.
  double margin = 0.03;
  /// Smaller changes are not reported, however narrow the intervals.
  double least_exponent_change = 0.05;
  double least_crossover_change = 1.1;
  int replicates = 1000;  ///< Of the crossovers' bootstrap.
};

/// Appends a row for every series (time and workspace) and every pair of series of one problem that
/// both sides have with enough lengths. Base rows of several runs are merged. A growth exponent is
/// worse when its interval lies above the base's; a crossover when the series that is faster at
/// long lengths became slower itself and its interval lies above the base's (or it is not the
/// faster one at any length any more). Lower exponents and earlier crossovers are no failures.
void compare_complexity(std::span<const Record> base, std::span<const Record> head,
                        const ComplexitySettings& settings, CheckReport& report);

}  // namespace attnbench::analyse
