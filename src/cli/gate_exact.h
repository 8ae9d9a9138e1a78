// The gate of figures without noise: both builds count, once, and the counts are compared.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "cli/command.h"
#include "cli/gate_session.h"
#include "cli/interrupt.h"

namespace attnbench::cli {

/// What --metric asks for: time, or figures without noise.
struct GateMetrics {
  bool instructions = false, workspace = false;
  bool exact() const { return instructions || workspace; }
};

/// "time", or a list of "instructions" and "workspace"; an error names what is accepted.
Result<GateMetrics> parse_gate_metrics(const std::string& text);

struct ExactGateOptions {
  NamedBuild base, head;
  run::GateConfig config;
  GateMetrics metrics;
  std::optional<double> margin;  ///< Of every metric; their own when absent.
  ProgressStyle style = ProgressStyle::none;
};

/// Rows, outcome and exit code of the whole gate, or why there is none. Instructions are those of
/// one call on one thread: cells that differ in threads alone are one. The CPU's counter counts
/// them where perf events are allowed, else callgrind (valgrind on PATH). Workspace is that of each
/// cell's own threads.
std::variant<CheckReport, GateStopped> run_exact_gate(const Context& context,
                                                      const ExactGateOptions& options,
                                                      const InterruptGuard& guard);

}  // namespace attnbench::cli
