// Made-up series and records for the tests of this room.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "analyse/growth_law.h"
#include "analyse/power_fit.h"
#include "analyse/random.h"
#include "record/record.h"

namespace attnbench::analyse::testing {

inline std::vector<double> doubling(double from, int count) {
  std::vector<double> lengths;
  for (int i = 0; i < count; ++i) lengths.push_back(from * std::pow(2.0, i));
  return lengths;
}

/// What is wrong with simulated times, beside the law.
struct Misfit {
  double noise = 0.01;  ///< Relative noise, as the intervals know it.
  double tile = 0;      ///< Independent misfit per length, unknown to the intervals.
  double step = 0;      ///< Largest step at a random length: a cache level that is left.
  double walk = 0;      ///< Random walk along the lengths, per doubling.
};

/// c + law, disturbed. `intercept` is c over the law's value at the shortest length.
inline std::vector<FitPoint> simulate(const GrowthLaw& law, const std::vector<double>& lengths,
                                      double intercept, const Misfit& misfit, Random& random) {
  std::vector<FitPoint> points;
  const std::size_t step_at = 1 + random.index(lengths.size() - 1);
  const double step = std::log1p(misfit.step * random.uniform(-0.2, 1));
  double walk = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const double noise = misfit.noise * random.uniform(0.5, 1.5);
    walk += misfit.walk * random.normal();
    const double value =
        intercept + std::exp(law.log_value(lengths[i]) - law.log_value(lengths[0]));
    const double off =
        noise * random.normal() + misfit.tile * random.normal() + walk + (i >= step_at ? step : 0);
    points.push_back({lengths[i], 1e-3 * value * std::exp(off), noise});
  }
  return points;
}

/// Nothing in four cases of ten, else spread evenly over 1%..1000% of the shortest length's work.
inline double random_intercept(Random& random) {
  return random.uniform() < 0.4 ? 0 : std::pow(10.0, random.uniform(-2, 1));
}

/// An ok row of self attention.
inline Record row(const std::string& variant, std::int64_t seq, double time_s, int threads = 1) {
  Record r;
  r.run_id = "run-1";
  r.axes.variant = variant;
  r.axes.family = "softmax";
  r.axes.exactness = "exact";
  r.axes.isa = "avx2";
  r.axes.heads_q = r.axes.heads_kv = 4;
  r.axes.seq_q = r.axes.seq_k = seq;
  r.axes.dim_qk = r.axes.dim_v = 64;
  r.axes.threads = threads;
  r.time_median_s = time_s;
  r.time_ci_low_s = time_s * 0.99;
  r.time_ci_high_s = time_s * 1.01;
  r.time_law = "N^2";
  r.workspace_law = "1";
  return r;
}

}  // namespace attnbench::analyse::testing
