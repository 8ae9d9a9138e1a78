#include "run/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "run/final_phase.h"
#include "run/group_runner.h"
#include "run/row.h"
#include "run/sweep_state.h"

namespace attnbench {
namespace {

/// Seconds between groups spent on looking whether the clock still is what it was.
constexpr double kClockCheck_s = 0.008;
/// A loss of the one-thread peak that is worth a warning.
constexpr double kClockDrop = 0.9;

class SweepRunner {
 public:
  SweepRunner(const SweepPlan& plan, const Ceilings& ceilings, const RunOptions& options)
      : state_(plan, ceilings, options) {}

  RunOutcome run() {
    const std::vector<std::size_t> left = leave_out_done();
    state_.total = static_cast<std::int64_t>(left.size());
    run_groups(left);
    second_chance_ = true;
    run_groups(affordable_after_all());
    run::spend_what_is_left(state_, [this](const auto& rows, const auto& samples) {
      deliver(rows, samples);
      if (!state_.interrupted()) check_clock();
    });
    RunOutcome& outcome = state_.outcome;
    outcome.interrupted = state_.interrupted();
    outcome.wall_s = state_.elapsed_s();
    warn_about_clock();
    warn_about_counters();
    return outcome;
  }

 private:
  std::vector<std::size_t> leave_out_done() {
    const auto& ids = state_.options.done_case_ids;
    const std::set<std::string> done(ids.begin(), ids.end());
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < state_.plan.cases.size(); ++i) {
      const Case& spec = state_.plan.cases[i];
      const bool is_done = done.contains(run::make_axes(spec, state_.isa).case_id());
      if (!is_done) left.push_back(i);
      if (is_done || spec.skip) {
        state_.touched[i] = true;
        state_.budget.settle(i);
      }
    }
    return left;
  }

  void run_groups(const std::vector<std::size_t>& indices) {
    for (std::size_t from = 0; from < indices.size() && !state_.interrupted();) {
      const int group = state_.plan.cases[indices[from]].group;
      std::size_t to = from;
      while (to < indices.size() && state_.plan.cases[indices[to]].group == group) ++to;
      run_group({indices.begin() + static_cast<std::ptrdiff_t>(from),
                 indices.begin() + static_cast<std::ptrdiff_t>(to)});
      from = to;
    }
  }

  /// Cases that were skipped for want of time, and that fit now that the others are done.
  std::vector<std::size_t> affordable_after_all() {
    const std::vector<std::size_t> refused = std::exchange(state_.refused, {});
    for (const std::size_t index : refused) state_.reopen(index);
    state_.revise_needs();
    std::vector<std::size_t> again;
    for (const std::size_t index : refused) {
      if (state_.budget.affordable(index, state_.elapsed_s())) {
        again.push_back(index);
      } else {
        state_.settle(index);
      }
    }
    return again;
  }

  void run_group(const std::vector<std::size_t>& indices) {
    state_.revise_needs();
    std::vector<Record> rows;
    std::vector<SampleRow> samples;
    {
      // Its tensors are gone before the next group draws its own.
      run::GroupRunner group(state_, indices);
      group.run();
      rows = group.rows();
      samples = group.samples();
    }
    if (second_chance_) {
      // That they were skipped is known already.
      std::erase_if(rows, [](const Record& row) { return row.status == RowStatus::skipped; });
      state_.outcome.skipped -= static_cast<std::int64_t>(rows.size());
    }
    for (const Record& row : rows) count(row.status);
    if (!rows.empty()) deliver(rows, samples);
    if (!samples.empty() && !state_.interrupted()) check_clock();
  }

  void deliver(const std::vector<Record>& rows, const std::vector<SampleRow>& samples) {
    if (!state_.options.finished) return;
    const run::PhaseTimer timer(state_.outcome.phases.files_s);
    state_.options.finished(rows, samples);
  }

  void count(RowStatus status) {
    RunOutcome& outcome = state_.outcome;
    switch (status) {
      case RowStatus::ok:
        ++outcome.ok;
        break;
      case RowStatus::skipped:
        ++outcome.skipped;
        break;
      case RowStatus::failed:
        ++outcome.failed;
        break;
      case RowStatus::timeout:
        ++outcome.timeout;
        break;
      case RowStatus::out_of_memory:
        ++outcome.out_of_memory;
        break;
    }
  }

  void check_clock() {
    const ComputeCeiling* at_start = state_.ceilings.compute_at(1);
    if (at_start == nullptr || !(at_start->flops_per_s > 0)) return;
    const run::PhaseTimer timer(state_.outcome.phases.clock_s);
    const double now = measure_fma_flops_per_s(state_.arenas.at(1), kClockCheck_s);
    if (!(now > 0)) return;
    state_.outcome.lowest_clock_ratio =
        std::min(state_.outcome.lowest_clock_ratio, now / at_start->flops_per_s);
  }

  void warn_about_clock() {
    const double ratio = state_.outcome.lowest_clock_ratio;
    if (ratio >= kClockDrop) return;
    state_.outcome.warnings.push_back(fmt::format(
        "the multiply-add peak of one thread fell to {:.0f}% of its first figure during the sweep: "
        "the clock dropped or others used the cores",
        100 * ratio));
  }

  void warn_about_counters() {
    const std::string& refusal = state_.counters.refusal();
    if (state_.options.config.counters != CounterUse::on || refusal.empty()) return;
    state_.outcome.warnings.push_back(
        "hardware counters are not all available, their cells are "
        "empty: " +
        refusal);
  }

  run::SweepState state_;
  bool second_chance_ = false;  ///< What is run now was skipped before.
};

}  // namespace

RunOutcome run_sweep(const SweepPlan& plan, const Ceilings& ceilings, const RunOptions& options) {
  return SweepRunner(plan, ceilings, options).run();
}

}  // namespace attnbench
