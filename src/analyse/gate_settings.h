// The figures of the regression gate. docs/gate.md explains every one of them.
#pragma once

namespace attnbench::analyse {

/// Slowdowns are fractions of the base's time (0.03: 3% slower); tests work on their logarithms.
struct GateSettings {
  double margin = 0.03;       ///< Up to here a slowdown is nobody's fault.
  double alpha = 0.01;        ///< Bound on the chance that a gate without a slowdown fails.
  double budget_s = 180;      ///< Screen, confirmation and controls.
  double extra_budget_s = 0;  ///< For what is inconclusive after the confirmation.
  bool mean_test = true;      ///< Off only in simulations of the cells' own error rate.

  int screen_launches = 24;
  int most_confirmed = 6;
  int fewest_confirm_launches = 32;
  int most_confirm_launches = 160;
  /// When time is short: enough for a rejection at the strictest level.
  int fewest_launches = 12;
  double noisy_spread = 0.065;  ///< A launch spread above this ends the gate.

  /// A pass shows that the slowdown is below this.
  double pass_bound() const { return margin * 5 / 3; }
  /// A cell whose screening estimate is below this may pass at once.
  double screen_estimate() const { return margin * 2 / 3; }
  double screen_level() const { return 0.025; }
  double confirm_level() const { return 0.05; }
  /// Of the geometric mean over all cells: up to here nobody's fault.
  double mean_margin() const { return margin / 3; }
  /// Holm's level of the confirmed cells. An extra stage takes a quarter of it.
  double cells_alpha() const { return extra_budget_s > 0 ? 0.6 * alpha : 0.8 * alpha; }
  double extra_alpha() const { return extra_budget_s > 0 ? 0.2 * alpha : 0; }
  double mean_alpha() const { return 0.2 * alpha; }

  double aa_tolerance = 0.01;  ///< The A/A control trips significantly outside of this,
  double aa_level = 0.005;     ///< at this level on each side.
  /// Additional work of the positive control, and the level at which it must be found.
  double positive_work() const { return 2 * margin; }
  double positive_level = 0.01;
};

}  // namespace attnbench::analyse
