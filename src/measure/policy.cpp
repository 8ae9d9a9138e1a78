#include "measure/policy.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace attnbench::measure {
namespace {

double median_of_sorted(std::span<const double> sorted) {
  const std::size_t n = sorted.size();
  return n % 2 == 1 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/// SplitMix64: cheap, and any two different inputs give unrelated outputs.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::int64_t interval_rank(std::int64_t count, double confidence) {
  // [x_(k), x_(n+1-k)] misses the median when fewer than k values lie on one side of it:
  // probability 2 P(Binomial(n, 1/2) <= k - 1).
  if (count < 1 || !(confidence > 0) || !(confidence < 1)) return 0;
  const boost::math::binomial_distribution<double> below(static_cast<double>(count), 0.5);
  const auto covers = [&](std::int64_t rank) {
    return rank < 1 || 2 * boost::math::cdf(below, static_cast<double>(rank - 1)) <= 1 - confidence;
  };
  // The normal approximation is off by one or two at most: a start for the exact search.
  const double n = static_cast<double>(count);
  auto rank = static_cast<std::int64_t>(std::max(0.0, 0.5 * (n - 2 * std::sqrt(n))));
  while (rank < (count + 1) / 2 && covers(rank + 1)) ++rank;
  while (!covers(rank)) --rank;
  return rank;
}

double median(std::span<const double> values) {
  if (values.empty()) throw std::invalid_argument("the median of no values");
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  return median_of_sorted(sorted);
}

MedianInterval median_interval(std::span<const double> values, double confidence) {
  if (!(confidence > 0) || !(confidence < 1)) {
    throw std::invalid_argument("a confidence must lie between 0 and 1");
  }
  MedianInterval result;
  result.count = static_cast<std::int64_t>(values.size());
  if (values.empty()) return result;
  if (!std::ranges::all_of(values, [](double v) { return std::isfinite(v); })) {
    throw std::invalid_argument("a measured value is not finite");
  }
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  result.median = median_of_sorted(sorted);
  result.minimum = sorted.front();
  const std::int64_t rank = interval_rank(result.count, confidence);
  result.attained = rank >= 1;
  const auto low = static_cast<std::size_t>(std::max<std::int64_t>(rank, 1) - 1);
  result.low = sorted[low];
  result.high = sorted[sorted.size() - 1 - low];
  for (double& v : sorted) v = std::abs(v - result.median);
  std::ranges::sort(sorted);
  result.mad = median_of_sorted(sorted);
  return result;
}

double relative_half_width(const MedianInterval& interval) {
  if (!interval.attained) return std::numeric_limits<double>::infinity();
  const double half = 0.5 * (interval.high - interval.low);
  if (half == 0) return 0;
  return interval.median > 0 ? half / interval.median : std::numeric_limits<double>::infinity();
}

PooledInterval pooled_interval(std::span<const double> values,
                               std::span<const std::size_t> visit_sizes) {
  PooledInterval pooled;
  pooled.interval = median_interval(values);
  double largest_low = 0, smallest_high = std::numeric_limits<double>::infinity();
  double largest = 0, smallest = std::numeric_limits<double>::infinity();
  std::size_t at = 0;
  for (const std::size_t size : visit_sizes) {
    if (size > values.size() - at) throw std::invalid_argument("more visited than measured");
    const MedianInterval visit = median_interval(values.subspan(at, size));
    at += size;
    if (!visit.attained) continue;
    largest_low = std::max(largest_low, visit.low);
    smallest_high = std::min(smallest_high, visit.high);
    largest = std::max(largest, visit.median);
    smallest = std::min(smallest, visit.median);
  }
  if (at != values.size()) throw std::invalid_argument("less visited than measured");
  if (!(largest_low > smallest_high)) return pooled;
  pooled.visits_differ = true;
  pooled.ratio = largest / smallest;
  pooled.interval.low = std::min(pooled.interval.low, smallest);
  pooled.interval.high = std::max(pooled.interval.high, largest);
  return pooled;
}

std::int64_t inner_iterations(double pilot_s_per_iteration, double min_sample_s,
                              double clock_resolution_s) {
  const double wanted_s = std::max(min_sample_s, 1000 * clock_resolution_s);
  constexpr double kMost = 1e9;  // Of an empty body, which costs about a nanosecond.
  if (!(pilot_s_per_iteration > 0)) return static_cast<std::int64_t>(kMost);
  return static_cast<std::int64_t>(
      std::clamp(std::ceil(wanted_s / pilot_s_per_iteration), 1.0, kMost));
}

Stop StoppingRule::decide(std::span<const double> round_values, double spent_s) const {
  const auto count = static_cast<std::int64_t>(round_values.size());
  if (count >= limits_.min_samples &&
      relative_half_width(median_interval(round_values)) <= limits_.target_relative_half_width) {
    return Stop::precision;
  }
  if (count >= limits_.max_samples) return Stop::max_samples;
  if (spent_s >= limits_.budget_s) return Stop::budget;
  return Stop::no;
}

std::vector<std::size_t> round_order(std::span<const Stop> state, std::uint64_t seed, int round) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (state[i] == Stop::no) order.push_back(i);
  }
  // Fisher-Yates written out: std::shuffle differs between standard libraries.
  std::uint64_t draw = mix(seed ^ mix(static_cast<std::uint64_t>(round)));
  for (std::size_t i = order.size(); i > 1; --i) {
    draw = mix(draw);
    std::swap(order[i - 1], order[draw % i]);
  }
  return order;
}

}  // namespace attnbench::measure
