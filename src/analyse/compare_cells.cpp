#include "analyse/compare_cells.h"

#include <cmath>
#include <utility>

#include "analyse/series.h"

namespace attnbench::analyse {
namespace {

constexpr double kZ = 1.959964;

RunCell reduced(const Record& record) {
  RunCell cell{record.status, record.reason, std::nullopt, 0};
  const double time_s = record.time_median_s.value_or(0);
  if (record.status != RowStatus::ok || !(time_s > 0)) return cell;
  cell.time_s = time_s;
  const double low = record.time_ci_low_s.value_or(0), high = record.time_ci_high_s.value_or(0);
  if (low > 0 && low <= time_s && high >= time_s) cell.log_sd = std::log(high / low) / (2 * kZ);
  return cell;
}

}  // namespace

std::size_t CellTable::begin_run(Side side) {
  runs_.push_back({side, (side == Side::base ? base_runs_ : head_runs_)++});
  return runs_.size() - 1;
}

std::string CellTable::key_of(const CaseAxes& axes) const {
  if (!ignore_isa_) return cell_label(axes);
  CaseAxes anywhere = axes;
  anywhere.isa.clear();
  return cell_label(anywhere);
}

bool CellTable::add(std::size_t run, const Record& record) {
  const auto [found, fresh] = index_.try_emplace(key_of(record.axes), cells_.size());
  if (fresh) {
    CheckRow row;
    row.label = found->first;
    row.case_id = record.case_id();
    row.variant = record.axes.variant;
    row.params = record.axes.params;
    row.problem = case_problem(record.axes);
    row.threads = record.axes.threads;
    cells_.push_back({std::move(row), {}, {}});
  }
  ComparedCell& cell = cells_[found->second];
  const auto [side, number] = runs_[run];
  auto& rows = side == Side::base ? cell.base : cell.head;
  if (rows.size() <= number) rows.resize(number + 1);
  if (rows[number]) return false;
  rows[number] = reduced(record);
  return true;
}

}  // namespace attnbench::analyse
