// Exact bounds of a probability that was estimated by counting.
// C. J. Clopper, E. S. Pearson, Biometrika 26, 1934.
#pragma once

#include <cstdint>

namespace attnbench::analyse {

struct ProportionInterval {
  double low = 0;
  double high = 1;
};

/// The two-sided interval at `confidence` for `hits` of `trials`; [0, 1] without trials.
/// 0 <= hits <= trials.
ProportionInterval clopper_pearson(std::int64_t hits, std::int64_t trials,
                                   double confidence = 0.95);

/// The one-sided upper bound at `confidence`: 0 of 299 is below 1% at 95%.
double clopper_pearson_upper(std::int64_t hits, std::int64_t trials, double confidence = 0.95);

}  // namespace attnbench::analyse
