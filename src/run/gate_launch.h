// Launches of a gate: fresh processes of two builds that take turns on the same cells.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "run/child_process.h"
#include "run/repro.h"

namespace attnbench::run {

/// A build that takes part.
struct GateBuild {
  std::string name;                  ///< In messages: "base (v1.2)".
  std::vector<std::string> command;  ///< Starts its child.
};

/// What the processes of a gate have in common.
struct GateMachine {
  std::vector<std::string> environment;  ///< "NAME=value".
  std::vector<int> cpus;                 ///< They are pinned to these; empty: they are not.
  const std::atomic<bool>* interrupted = nullptr;
};

/// A child of `build` that has said hello. `padding_bytes` are added to its environment: they move
/// the stack, so that its alignment is drawn and not inherited.
std::variant<std::unique_ptr<ChildProcess>, ChildFailure> start_gate_child(
    const GateBuild& build, const GateMachine& machine, std::size_t padding_bytes);

/// One pair of builds on one cell: two quads.
struct CellTask {
  std::size_t cell = 0;  ///< The caller's number.
  CaseFlags flags;
  bool control = false;    ///< The head's part is the copy's.
  bool base_first = true;  ///< The first quad is ABBA, the second BAAB; else the reverse.
  std::int64_t base_iterations = 1, head_iterations = 1;
  std::int64_t head_extra_units = 0;
  double expected_s = 0;  ///< Of one sample; a child that takes much longer hangs.
};

struct LaunchTask {
  std::vector<CellTask> cells;  ///< In the order in which they are measured.
  std::size_t padding_bytes = 0;
  bool head_starts_first = false;
};

/// Seconds per call, in the order in which they were taken.
struct QuadSamples {
  bool base_first = true;
  std::array<double, 4> seconds{};
};

struct CellSamples {
  std::array<QuadSamples, 2> quads;
  double elapsed_s = 0;
};

/// What ended a launch, and where.
struct LaunchFailure {
  enum class Side { base, head, copy };
  Side side = Side::base;
  std::optional<std::size_t> cell;  ///< The caller's number; absent when it did not start.
  ChildFailure failure;
};

struct LaunchSamples {
  std::vector<CellSamples> cells;  ///< As in the task.
  double elapsed_s = 0;
};

/// Runs launches. Only one process works at any time: the others wait for their next request.
class GateLauncher {
 public:
  GateLauncher(GateBuild base, GateBuild head, GateBuild copy, GateMachine machine);
  std::variant<LaunchSamples, LaunchFailure> launch(const LaunchTask& task) const;

 private:
  GateBuild base_, head_, copy_;
  GateMachine machine_;
};

}  // namespace attnbench::run
