// A sweep from its plan to its files, with a person watching.
#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "config/sweep_config.h"
#include "kernels/ceilings.h"
#include "measure/environment.h"
#include "plan/plan.h"
#include "record/run_directory.h"

namespace attnbench::cli {

struct SweepSettings {
  std::string folder;
  RunDirectory::Existing existing = RunDirectory::Existing::refuse;
  ProgressStyle style = ProgressStyle::none;
  bool quiet = false;
};

class SweepSession {
 public:
  /// `captures`: the recorded inputs that the configuration names.
  SweepSession(const Context& context, SweepConfig config, measure::Machine machine,
               CaptureSet captures);

  /// Measures what the machine can do at the sweep's thread counts; `brief` for a plan only.
  void measure_ceilings(bool brief);
  SweepPlan plan() const;
  /// Runs the plan, writes the files, prints the table, warnings and totals.
  ExitCode run(const SweepPlan& plan, const SweepSettings& settings);

 private:
  Manifest first_manifest(const std::optional<Manifest>& earlier) const;
  RunOutcome sweep(const SweepPlan& plan, const SweepSettings& settings,
                   const std::vector<std::string>& done, RunDirectory& directory,
                   const std::string& run_id, Status& written);
  void complete_manifest(Manifest& manifest, const RunOutcome& outcome) const;
  void print_summary(const RunDirectory& directory, const RunOutcome& outcome) const;

  /// Since the session began, the ceilings included.
  double elapsed_s() const;

  const Context& context_;
  SweepConfig config_;
  CaptureSet captures_;
  double ceilings_s_ = 0;
  measure::Machine machine_;
  Ceilings ceilings_;
  measure::NoiseSnapshot begin_;
  double begin_s_ = 0;
  InterruptGuard guard_;
};

}  // namespace attnbench::cli
