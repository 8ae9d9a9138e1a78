// When to stop sampling, and what the samples say: pure functions and classes without a clock.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace attnbench::measure {

/// Median with a distribution-free interval from order statistics.
struct MedianInterval {
  double median = 0;
  double low = 0;
  double high = 0;
  double minimum = 0;
  double mad = 0;  ///< Median absolute deviation from the median, unscaled.
  std::int64_t count = 0;
  /// False when there are too few values for the interval to exist at this confidence; low and high
  /// are then the extremes.
  bool attained = false;
};

/// The narrowest symmetric pair of order statistics that covers the median with at least
/// `confidence` (binomial, exact). `values` are independent: one per round. Non-finite values are
/// refused (std::invalid_argument).
MedianInterval median_interval(std::span<const double> values, double confidence = 0.95);

/// The largest k for which [k-th smallest, k-th largest] of `count` independent values covers their
/// median with at least `confidence`; 0 when there is none (fewer than 6 values at 95%).
std::int64_t interval_rank(std::int64_t count, double confidence = 0.95);

/// Half the interval's length over the median; infinite when the interval is not attained.
double relative_half_width(const MedianInterval& interval);

/// Rounds taken at different times, pooled.
struct PooledInterval {
  MedianInterval
      interval;  ///< Of all values; wide enough for each visit's median where they differ.
  bool visits_differ = false;
  double ratio = 1;  ///< Of the largest to the smallest median of a visit, where they differ.
};

/// The interval of values that were taken on several visits, `visit_sizes` of them on each, in
/// order. Visits differ when the 95% intervals of two of them have nothing in common: the machine
/// was another one then, no number of rounds tells which is right, and the interval has both.
/// Visits too short for an interval are pooled with the others. Throws std::invalid_argument when
/// the sizes do not sum to the number of values.
PooledInterval pooled_interval(std::span<const double> values,
                               std::span<const std::size_t> visit_sizes);

/// Median of any values; std::invalid_argument when there are none.
double median(std::span<const double> values);

/// Inner iterations so that one sample lasts at least max(min_sample_s, 1000 clock resolutions).
std::int64_t inner_iterations(double pilot_s_per_iteration, double min_sample_s,
                              double clock_resolution_s);

enum class Stop { no, precision, budget, max_samples };

/// Decides when a case has enough rounds: on precision or on cost, never on a comparison's outcome.
class StoppingRule {
 public:
  struct Limits {
    double target_relative_half_width = 0.02;
    double budget_s = 10;
    std::int64_t min_samples = 7;
    std::int64_t max_samples = 200;
  };
  explicit StoppingRule(Limits limits) : limits_(limits) {}
  /// `round_values` so far and the seconds spent on this case so far (sampling only).
  Stop decide(std::span<const double> round_values, double spent_s) const;

 private:
  Limits limits_;
};

/// The cases that take part in a round: all that have not stopped, in an order drawn from `seed`
/// and `round`.
std::vector<std::size_t> round_order(std::span<const Stop> state, std::uint64_t seed, int round);

}  // namespace attnbench::measure
