// The gate of figures without noise: instructions of a call and bytes of workspace.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/check_report.h"
#include "record/record.h"

namespace attnbench::analyse {

enum class ExactMetric { instructions, workspace };
/// "instructions", "workspace".
std::string_view to_string(ExactMetric metric);

/// One cell under one metric; a side without a figure does not run the cell.
struct ExactCell {
  ExactMetric metric = ExactMetric::instructions;
  CaseAxes axes;
  std::optional<double> base, head;  ///< Instructions of a call, or bytes.
  bool head_tried = false;           ///< Without a head figure: it tried and failed.
  std::string reason;                ///< Why a side has no figure.
};

/// Fractions of the base's figure up to which more is accepted.
struct ExactSettings {
  /// A count is exact, but not every instruction is the kernel's own work: what a compiler or a
  /// library rearranges is worth less than this.
  double instructions_margin = 0.01;
  double workspace_margin = 0;
};

/// Appends a row for each cell, and the margins to the figures. A figure above its margin is a
/// regression, one below the base's by more than it an improvement. Outcome and exit code are
/// conclude()'s (analyse/compare.h).
void add_exact_rows(std::span<const ExactCell> cells, const ExactSettings& settings,
                    CheckReport& report);

}  // namespace attnbench::analyse
