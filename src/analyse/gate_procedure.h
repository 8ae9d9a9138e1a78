// The regression gate as a state machine without a clock: it asks for launches, is fed their values
// and ends with a result. docs/gate.md describes the procedure.
//
//   screen    24 launches of all cells; a cell passes at once, or survives
//   confirm   fresh launches of the six largest survivors; the controls run beside them, and alone
//             when nothing survived
//   extra     with a second budget: fresh launches of what is still inconclusive
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "analyse/gate_settings.h"
#include "analyse/gate_verdict.h"

namespace attnbench::analyse {

/// What the procedure wants measured next: one launch, one pair of fresh processes.
struct LaunchRequest {
  GateStage stage = GateStage::screen;
  int launch = 0;                  ///< Within its stage, from 0.
  int launches = 0;                ///< Of this stage.
  std::vector<std::size_t> cells;  ///< Base against head; may be empty.
  bool controls = false;           ///< The A/A and the positive control as well.
  double remaining_s = 0;          ///< Of the stage, this launch included, by what is known.
};

/// What a launch found. Values are D, log ratios of head over base; absent ones had no valid
/// sample.
struct LaunchValues {
  std::vector<std::optional<double>> cells;  ///< As requested.
  std::optional<double> aa, positive;        ///< Where controls were requested.
  std::vector<double> cell_seconds;          ///< What each cell's quads took, all in all.
  double elapsed_s = 0;                      ///< The whole launch, process starts included.
};

class GateProcedure {
 public:
  /// `cells`: how many there are, at least one. `control`: the one that the controls measure.
  /// `spent_s` of the budget is gone before the first launch.
  GateProcedure(GateSettings settings, std::size_t cells, std::size_t control, double spent_s = 0);

  /// The next launch; nothing when the gate is decided.
  std::optional<LaunchRequest> next() const;
  /// The values of the launch that next() asked for.
  void feed(const LaunchValues& values);
  /// What is known: final once next() gives nothing.
  GateResult result() const;

 private:
  using Series = std::vector<std::vector<std::optional<double>>>;  ///< [cell][launch]

  void finish_screen();
  void finish_confirm();
  void finish_extra();
  void plan_confirm();
  void plan_extra();
  void start(GateStage stage, std::vector<std::size_t> cells, int launches);
  int launches_within(double time_s, int wanted) const;
  double launch_seconds(const std::vector<std::size_t>& cells, bool controls) const;
  double standard_error() const;
  void judge_confirmed(const Series& series, double alpha, double pass_level, GateStage stage);
  void judge_mean();
  void judge_controls();

  GateSettings settings_;
  std::size_t control_;
  GateStage stage_ = GateStage::screen;
  int launches_ = 0, launch_ = 0;
  std::vector<std::size_t> active_;  ///< Cells of the stage.
  Series screen_, fresh_;            ///< fresh_: of the stage after the screen, by active_.
  std::vector<std::optional<double>> aa_, positive_;
  std::vector<double> cell_seconds_;  ///< Per cell, summed over the screen.
  double screen_seconds_ = 0;         ///< Summed over the screen.
  double spent_s_ = 0, extra_spent_s_ = 0;
  GateResult result_;
};

}  // namespace attnbench::analyse
