// What the groups of a sweep share while it runs.
#pragma once

#include <string>
#include <vector>

#include "measure/clock.h"
#include "measure/hardware_counters.h"
#include "measure/schedule.h"
#include "run/arena_pool.h"
#include "run/forecast.h"
#include "run/measured_case.h"
#include "run/runner.h"

namespace attnbench::run {

class SweepState {
 public:
  SweepState(const SweepPlan& plan_in, const Ceilings& ceilings_in, const RunOptions& options_in);

  double elapsed_s() const { return measure::steady_now_s() - start_s; }
  bool interrupted() const { return options.interrupted != nullptr && *options.interrupted; }
  /// The case needs no more time and counts as done.
  void settle(std::size_t index);
  /// A skipped case gets another chance.
  void reopen(std::size_t index);
  /// Tells the progress callback where the sweep is, at most some twenty times a second.
  void tell(std::size_t index, const char* phase);
  /// New estimates for all cases that have not been touched.
  void revise_needs();

  const SweepPlan& plan;
  const Ceilings& ceilings;
  const RunOptions& options;
  std::string isa;
  double start_s;
  ArenaPool arenas;
  measure::ProcessCounters counters;
  Forecast forecast;
  measure::SweepBudget budget;
  std::vector<bool> touched;  ///< Settled, or being measured: estimates come from its own calls.
  std::vector<MeasuredCase> measured;  ///< Of this sweep's cases those that ran out of time.
  std::vector<MeasuredBatch> batches;  ///< In the order of their turns.
  std::vector<std::size_t> refused;    ///< Cases that were skipped for want of time.
  RunOutcome outcome;
  std::int64_t total = 0;
  std::int64_t done = 0;

 private:
  std::vector<int> sharing_;  ///< How many cases share a reference, of each case.
  double last_told_s_ = -1;
};

/// Adds its own lifetime to a phase.
class PhaseTimer {
 public:
  explicit PhaseTimer(double& phase_s) : phase_s_(phase_s), begin_s_(measure::steady_now_s()) {}
  ~PhaseTimer() { phase_s_ += measure::steady_now_s() - begin_s_; }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

 private:
  double& phase_s_;
  double begin_s_;
};

/// "flash N=4096 T=2": the case for a progress line.
std::string case_label(const Case& spec);

}  // namespace attnbench::run
