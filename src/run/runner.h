// Runs a plan: prepare, verify, warm, sample; one group of cases at a time, interleaved in rounds.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "measure/environment.h"
#include "plan/plan.h"
#include "record/manifest.h"
#include "record/record.h"

namespace attnbench {

/// What the runner tells while it works; cli/ draws it.
struct RunProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string current;  ///< "flash N=4096 T=2".
  std::string phase;    ///< verify, pilot, sample
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
  std::function<void(const std::vector<Record>&, const std::vector<SampleRow>&)> finished;
};

struct RunOutcome {
  std::int64_t ok = 0, skipped = 0, failed = 0, timeout = 0, out_of_memory = 0;
  bool interrupted = false;
  double wall_s = 0;
  double timed_s = 0;  ///< Spent inside timed samples.
};

/// Runs everything. Failures of single cases are rows, not errors.
RunOutcome run_sweep(const SweepPlan& plan, const Ceilings& ceilings, const RunOptions& options);

/// Verification of one case without timing (also used by `verify`).
struct Verification {
  bool passed = false;
  std::string reason;  ///< Why not.
  double definition_rel_l2 = 0;
  double tolerance = 0;
  std::optional<double> error_rel_l2, error_max_abs, error_mean_v;
  std::string error_reference;
  RowIndex worst_row;
  double worst_row_rel = 0;
  std::int64_t undecided_rows = 0;
  std::int64_t workspace_peak_bytes = 0;
};

}  // namespace attnbench
