// Is a new run slower than stored ones? One-sided predictions from the spread between base runs.
// docs/compare.md derives what is done here.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace attnbench::analyse {

/// Slowdowns are fractions of the base's time (0.03: 3% slower); tests work on their logarithms.
struct CompareSettings {
  double margin = 0.03;  ///< Up to here a slowdown is nobody's fault.
  double alpha = 0.01;   ///< Bound on the chance that a comparison without a slowdown fails.

  /// A pass shows that the slowdown is below this.
  double pass_bound() const { return margin * 5 / 3; }
  double pass_level() const { return 0.05; }
  /// Of the geometric mean over all cells: up to here nobody's fault.
  double mean_margin() const { return margin / 3; }
  double cells_alpha() const { return 0.8 * alpha; }
  double mean_alpha() const { return 0.2 * alpha; }
};

/// Fewer base runs say nothing about how runs differ.
inline constexpr std::size_t kLeastBaseRuns = 3;

/// Logarithms of one cell's times.
struct LogTimes {
  std::vector<std::optional<double>> base;  ///< One per base run; absent where not measured.
  std::vector<double> head;                 ///< At least one.
  /// Standard deviations of these logarithms within their runs, where known: the spread between
  /// runs cannot be smaller.
  double base_sd = 0, head_sd = 0;
};

/// What is predicted of one cell. Figures are log ratios of head over base.
struct Prediction {
  double estimate = 0;
  double low = 0, high = 0;  ///< Two-sided 95%.
  double upper = 0;          ///< One-sided 95%: what a pass is judged by.
  double sd = 0;             ///< Of the estimate.
  double degrees = 0;        ///< Of its Student distribution.
  double p_slower = 1;       ///< Of "slower by no more than the margin", adjusted (Holm).
  double p_faster = 1;       ///< Of "not faster", adjusted.
  double detectable = 0;     ///< Would have been found with a probability of 90%.
  bool slower = false, faster = false, within_bound = false;
};

struct Predictions {
  /// One per cell; nothing for a cell with fewer than kLeastBaseRuns base times.
  std::vector<std::optional<Prediction>> cells;
  /// Of the geometric mean of the predicted cells; margin and level of its own. Nothing without
  /// two cells.
  std::optional<Prediction> mean;
  double run_sd = 0;   ///< By which all cells of a run move together.
  double cell_sd = 0;  ///< Median over cells of what is left beyond that.
};

/// All cells have as many base entries.
Predictions predict_cells(std::span<const LogTimes> cells, const CompareSettings& settings);

}  // namespace attnbench::analyse
