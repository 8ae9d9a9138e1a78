// Runs a plan: prepare, verify, warm, sample; one group of cases at a time, interleaved in rounds.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "plan/plan.h"
#include "record/record.h"
#include "run/verify.h"

namespace attnbench {

/// What the runner tells while it works; cli/ draws it.
struct RunProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string current;  ///< "flash N=4096 T=2".
  std::string phase;    ///< verify, pilot, sample; again: on a later visit
  double elapsed_s = 0;
  double remaining_s = 0;
};

struct RunOptions {
  SweepConfig config;
  std::string run_id;
  std::vector<std::string> done_case_ids;  ///< Cases to leave out: a resumed run.
  const std::atomic<bool>* interrupted = nullptr;
  std::function<void(const RunProgress&)> progress;
  /// Called with the finished rows of a group (or what an interrupt left of it), in plan order.
  /// Once all groups had their turn, it may be called again with rows that take the place of
  /// earlier ones of the same case, and with the samples that were added.
  std::function<void(const std::vector<Record>&, const std::vector<SampleRow>&)> finished;
};

/// Where the time outside of timed samples went, in seconds. What is missing to the wall time is
/// the library's set-up of each sample and the book-keeping between them.
struct PhaseTimes {
  double inputs_s = 0;      ///< Drawing or cutting inputs, allocating, choosing rows to check.
  double prepare_s = 0;     ///< Auxiliary tensors, plans, workspaces.
  double first_call_s = 0;  ///< The calls that are verified.
  double reference_s = 0;   ///< Float64 references and comparisons.
  double pilot_s = 0;
  double warm_s = 0;   ///< Before each sample: threads woken, a call or a touch of the tensors.
  double clock_s = 0;  ///< Looking at the clock between groups.
  double files_s = 0;  ///< Handing finished rows to the caller, who writes them.
};

struct RunOutcome {
  std::int64_t ok = 0, skipped = 0, failed = 0, timeout = 0, out_of_memory = 0;
  bool interrupted = false;
  double wall_s = 0;
  double timed_s = 0;       ///< Spent inside timed samples.
  std::int64_t visits = 0;  ///< Returns to cases whose intervals were wide, at the end.
  PhaseTimes phases;
  /// One-thread multiply-add peak between groups, lowest, relative to the ceilings; 1 when it was
  /// not looked at.
  double lowest_clock_ratio = 1;
  std::vector<std::string> warnings;  ///< About the sweep as a whole, one line each.
};

/// Runs everything. Failures of single cases are rows, not errors. The sweep's budget covers
/// verification, pilots and samples; cases whose minimum does not fit any more are skipped rows.
/// What is left at the end goes first to such cases, then to those with the widest intervals. An
/// interrupt is honoured between samples and between cases: cases with samples become rows that
/// say so (stop_reason is then empty), the others are not reported.
RunOutcome run_sweep(const SweepPlan& plan, const Ceilings& ceilings, const RunOptions& options);

}  // namespace attnbench
