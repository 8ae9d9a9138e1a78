// The cells of stored runs side by side: what each run has to say of each cell.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "record/check_report.h"
#include "record/record.h"

namespace attnbench::analyse {

/// One row, reduced to what comparing needs.
struct RunCell {
  RowStatus status = RowStatus::ok;
  std::string reason;
  std::optional<double> time_s;  ///< Of an ok row with a positive time.
  double log_sd = 0;             ///< Of the log of the time, from the row's interval; 0: unknown.
};

/// A cell and its rows, one per run; absent where the run has no row of it.
struct ComparedCell {
  CheckRow row;  ///< Label, identity; no figures.
  std::vector<std::optional<RunCell>> base, head;
};

/// Collects rows run by run, in the order of their first appearance.
class CellTable {
 public:
  /// With `ignore_isa` cells that differ in the instruction set alone are the same: runs of
  /// different machines, side by side.
  explicit CellTable(bool ignore_isa = false) : ignore_isa_(ignore_isa) {}

  enum class Side { base, head };
  /// A new run; add() takes what it returns.
  std::size_t begin_run(Side side);
  /// False when the run has a row of the same cell already.
  bool add(std::size_t run, const Record& record);

  const std::vector<ComparedCell>& cells() const { return cells_; }
  std::size_t base_runs() const { return base_runs_; }
  std::size_t head_runs() const { return head_runs_; }

 private:
  std::string key_of(const CaseAxes& axes) const;

  bool ignore_isa_ = false;
  struct Run {
    Side side = Side::base;
    std::size_t number = 0;  ///< Among those of its side.
  };
  std::vector<Run> runs_;
  std::size_t base_runs_ = 0, head_runs_ = 0;
  std::vector<ComparedCell> cells_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace attnbench::analyse
