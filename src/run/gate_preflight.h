// Before the first launch of a gate: which cells there are, whether both builds run them and get
// them right, and how long a call takes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "record/record.h"
#include "run/gate_launch.h"

namespace attnbench::run {

/// How one build took to one cell.
struct CellTrial {
  std::optional<double> call_s;  ///< Of a warm call; absent when it cannot run the cell.
  std::string reason;            ///< Why not.
  /// It does not know the cell at all, or says that it cannot run it; else it tried and failed.
  bool unknown = false;
};

struct PreflightCell {
  CaseFlags flags;
  std::string label;  ///< "flash N=4096 T=2".
  Record row;         ///< As the build plans it that named the cell first.
  CellTrial base, head;
};

struct Preflight {
  std::vector<PreflightCell> cells;
  double clock_resolution_s = 0;
};

/// The configuration as both builds read it.
struct GateConfig {
  std::string toml;
  std::string name;  ///< The file, in messages.
};

/// Asks both builds for the cells of the configuration, and lets both verify and time each of the
/// union. A build that dies over a cell is started again for the next one. Fails when neither build
/// can plan the configuration, or when one cannot be started.
std::variant<Preflight, ChildFailure> gate_preflight(
    const GateConfig& config, const GateBuild& base, const GateBuild& head,
    const GateMachine& machine, const std::function<void(const std::string& label)>& progress);

/// How many units of extra work are one call of a cell, measured in a process of `build`.
std::variant<double, ChildFailure> gate_calibrate(const CaseFlags& flags, const GateBuild& build,
                                                  const GateMachine& machine);

}  // namespace attnbench::run
