// What a gate found, cell by cell and as a whole, and the exit code that follows.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attnbench::analyse {

enum class GateStage { screen, confirm, extra, done };
std::string_view to_string(GateStage stage);

enum class CellVerdict {
  pass,
  fail,          ///< "Slower by no more than the margin" was rejected.
  inconclusive,  ///< Neither proved slower nor proved fast enough.
  unconfirmed,   ///< Survived the screen, and there was no place to confirm it.
};

/// Figures are log ratios of head over base.
struct CellOutcome {
  CellVerdict verdict = CellVerdict::inconclusive;
  GateStage stage = GateStage::screen;  ///< Where it was decided.
  std::size_t launches = 0;             ///< Behind the figures: those of that stage.
  double estimate = 0;
  double low = 0;      ///< Confidence bound at the level of the test against the margin.
  double high = 0;     ///< Upper bound that a pass is judged by.
  double p_value = 1;  ///< Of "no slower than the margin", adjusted for the cells tested with it.
  std::optional<double> detectable;  ///< Smallest slowdown that would be found with power 90%.
  std::string reason;                ///< Empty for a plain pass.
};

/// A measurement whose answer is known beforehand.
struct ControlOutcome {
  bool ran = false;
  bool as_expected = true;
  std::size_t launches = 0;
  double estimate = 0, low = 0, high = 0;  ///< Log ratios, bounds at the control's level.
  std::optional<double> detectable;
};

struct GateResult {
  std::vector<CellOutcome> cells;
  /// Geometric mean of all cells, from the screen.
  bool mean_tested = false;
  bool mean_failed = false;
  double mean_estimate = 0, mean_low = 0, mean_p_value = 1;
  ControlOutcome aa, positive;
  /// Median over cells of IQR / 1.349 of the screen's launches.
  double launch_spread = 0;
  bool too_noisy = false;
  int screen_launches = 0, confirm_launches = 0, extra_launches = 0;  ///< As planned.
  double elapsed_s = 0;
};

/// Quartile distance over that of a normal distribution of standard deviation 1: a standard
/// deviation that outliers do not move. 0 for fewer than two values.
double robust_spread(std::vector<double> values);

/// What the exit code is made of besides the result.
struct GateFacts {
  std::size_t lost_cells = 0;  ///< Of the base, missing in the head or newly failing there.
};

/// 0 pass, 1 regression, 3 inconclusive or blind, 4 A/A tripped; 4 before 1 before 3 before 0.
/// (2, a usage or file error, comes before a gate has a result.)
int gate_exit_code(const GateResult& result, const GateFacts& facts);

}  // namespace attnbench::analyse
