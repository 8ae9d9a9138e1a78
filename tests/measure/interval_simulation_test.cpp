// Coverage of the order-statistic intervals on times as shared machines give them, on a simulated
// clock: skewed, drifting, in bursts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "measure/policy.h"

namespace attnbench::measure {
namespace {

/// Disturbances of the log time of a call.
struct Machine {
  double white = 0.008;       ///< Independent from sample to sample.
  double skew = 0.04;         ///< Mean of an exponential delay.
  double drift = 0;           ///< Rise over the whole measurement.
  double burst = 0;           ///< Height of a co-tenant's bursts, which last some samples.
  double burst_share = 0.1;   ///< Of the time.
  double burst_samples = 10;  ///< Mean length.
};

/// What a machine does in the course of one measurement: log time of sample `t` without its own
/// noise.
std::vector<double> weather(const Machine& machine, int samples, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> path;
  const double leave = 1 / machine.burst_samples;
  const double enter = leave * machine.burst_share / (1 - machine.burst_share);
  bool busy = uniform(random) < machine.burst_share;
  for (int t = 0; t < samples; ++t) {
    busy = uniform(random) < (busy ? 1 - leave : enter);
    path.push_back(machine.drift * t / samples + (busy ? machine.burst : 0));
  }
  return path;
}

double own_noise(const Machine& machine, std::mt19937_64& random) {
  return std::normal_distribution<double>(0, machine.white)(random) +
         std::exponential_distribution<double>(1 / machine.skew)(random);
}

/// What the interval is about: the median of a call made at any moment of this measurement.
double median_of_run(const Machine& machine, const std::vector<double>& path,
                     std::mt19937_64& random) {
  std::vector<double> values;
  for (int i = 0; i < 4000; ++i) {
    const auto at = static_cast<std::size_t>(i) * path.size() / 4000;
    values.push_back(path[at] + own_noise(machine, random));
  }
  return median(values);
}

/// How often the interval of one of `cases` covers the run's median: its samples taken one a round
/// among the others', or all of them in a row at a random place.
double coverage(const Machine& machine, int cases, int rounds, bool interleaved) {
  constexpr int kRuns = 300;
  std::mt19937_64 random(17);
  int hits = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto path = weather(machine, cases * rounds, random);
    const double truth = median_of_run(machine, path, random);
    const int first = interleaved ? 0 : rounds * static_cast<int>(random() % cases);
    std::vector<double> values;
    for (int r = 0; r < rounds; ++r) {
      const int t = interleaved ? r * cases + static_cast<int>(random() % cases) : first + r;
      values.push_back(path[static_cast<std::size_t>(t)] + own_noise(machine, random));
    }
    const MedianInterval interval = median_interval(values);
    hits += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  return static_cast<double>(hits) / kRuns;
}

// Stated threshold: 93% of the nominal 95% intervals hold the median of the run they were measured
// in, with skewed delays, a drift of 10%, and bursts of +30% that last longer than a round.
TEST(IntervalSimulation, InterleavedRoundsCoverTheRunsMedian) {
  const Machine machines[]{{.skew = 0.1},
                           {.drift = 0.1},
                           {.burst = 0.3},
                           {.burst = 0.3, .burst_share = 0.2, .burst_samples = 24},
                           {.skew = 0.06, .drift = 0.1, .burst = 0.3}};
  for (const Machine& machine : machines) {
    for (const int rounds : {7, 15, 30}) {
      EXPECT_GE(coverage(machine, 12, rounds, true), 0.93)
          << "skew " << machine.skew << " drift " << machine.drift << " burst " << machine.burst
          << " of " << machine.burst_samples << " in " << rounds << " rounds";
    }
  }
}

// The same times with all samples of a case in a row, which is what interleaving is for.
TEST(IntervalSimulation, SamplesInARowDoNotCoverADriftingRun) {
  EXPECT_LT(coverage({.drift = 0.3}, 12, 15, false), 0.5);
  EXPECT_GE(coverage({.drift = 0.3}, 12, 15, true), 0.93);
}

}  // namespace
}  // namespace attnbench::measure
