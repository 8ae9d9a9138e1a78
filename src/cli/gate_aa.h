// attnbench gate aa: the same build on both sides, again and again: how often is the gate wrong?
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "cli/gate_session.h"

namespace attnbench::cli {

/// What one gate of equal builds said.
struct NullGate {
  int exit_code = 0;
  std::string outcome;
  double elapsed_s = 0;
  double launch_spread = 0;
};

/// One JSON object a line, in the order they were run; a line cut short by a kill is left out.
Result<std::vector<NullGate>> read_null_gates(const std::string& path, const std::string& setup);
std::string null_gate_line(const NullGate& gate, const std::string& setup);

/// The share of gates that failed, its exact interval, and how often each exit code came.
CheckReport aa_report(const std::vector<NullGate>& gates, const CheckSide& build, int wanted);

}  // namespace attnbench::cli
