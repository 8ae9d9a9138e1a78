// One gate from its builds to its report: preflight, launches as the procedure asks for them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "analyse/gate_procedure.h"
#include "analyse/gate_report.h"
#include "analyse/random.h"
#include "cli/command.h"
#include "cli/gate_builds.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "record/check_report.h"
#include "run/gate_preflight.h"

namespace attnbench::cli {

/// A slowdown put into the head on purpose: so much more work in the cells that match.
struct Injection {
  std::string pattern;  ///< Of cell labels, with * and ?.
  double fraction = 0;
};

struct GateOptions {
  NamedBuild base, head;
  run::GateConfig config;
  analyse::GateSettings settings;
  std::vector<Injection> injections;
  std::uint64_t seed = 1;  ///< Of orders and paddings.
  ProgressStyle style = ProgressStyle::none;
};

/// A launch as it was measured, for launches.csv.
struct LaunchLine {
  std::string stage;  ///< screen, confirm, extra
  int launch = 0;
  std::string what;  ///< cell, A/A or positive
  std::string label;
  double base_s = 0, head_s = 0;
  std::optional<double> log_ratio;
};

struct GateRun {
  CheckReport report;
  analyse::GateResult result;
  std::vector<LaunchLine> launches;
};

/// Why there is no report: interrupted, or an error.
struct GateStopped {
  bool interrupted = false;
  Error error;
};

class GateSession {
 public:
  /// `copy` is a binary that is the base's, byte by byte.
  GateSession(const Context& context, GateOptions options, std::string copy,
              const InterruptGuard& guard);
  std::variant<GateRun, GateStopped> run();

 private:
  std::optional<GateStopped> prepare();
  std::optional<GateStopped> calibrate();
  std::optional<GateStopped> measure();
  std::variant<analyse::LaunchValues, GateStopped> launch(const analyse::LaunchRequest& request);
  run::CellTask task_of(std::size_t compared, bool control, std::int64_t extra_units);
  void note_head_failure(std::size_t compared, const run::LaunchFailure& failure);
  GateStopped stopped(const run::ChildFailure& failure) const;
  GateRun finish();
  void tell(const std::string& phase, int done, int total, double remaining_s);
  void tell_launch(const analyse::LaunchRequest& request);
  double elapsed_s() const;

  /// A cell that both builds run.
  struct Compared {
    std::size_t cell = 0;  ///< Index into story_.cells.
    run::CaseFlags flags;
    std::string label;
    double call_s = 0;
    std::int64_t base_iterations = 1, head_iterations = 1;
    std::int64_t extra_units = 0;
    std::vector<double> base_times, head_times;
  };

  const Context& context_;
  GateOptions options_;
  const InterruptGuard& guard_;
  run::GateBuild base_, head_, copy_;
  run::GateMachine machine_;
  analyse::Random random_;
  ProgressPrinter printer_;
  double begin_s_ = 0;
  analyse::GateStory story_;
  std::vector<Compared> compared_;
  std::size_t control_ = 0;
  std::int64_t control_units_ = 0;
  std::optional<analyse::GateProcedure> procedure_;
  std::vector<LaunchLine> lines_;
  bool lost_head_ = false;  ///< The head died while it was measured.
};

/// The text of launches.csv.
std::string launches_csv(const std::vector<LaunchLine>& lines);

}  // namespace attnbench::cli
