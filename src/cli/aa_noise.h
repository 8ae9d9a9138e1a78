// How much two series of timings of the very same kernel differ on this machine now.
#pragma once

#include <span>

#include "attention/registry.h"
#include "attention/result.h"

namespace attnbench::cli {

struct AaNoise {
  double median_s = 0;    ///< Of one call, all samples.
  double spread = 0;      ///< IQR / 1.349 over the median: the standard deviation of a normal.
  double difference = 0;  ///< Median of series B over that of series A, minus one.
  int samples = 0;
};

/// Deals the samples out to A and B in the order ABBA and compares them. At least four samples
/// (std::invalid_argument).
AaNoise aa_noise(std::span<const double> samples_s);

/// Times a small kernel on one thread for about a third of a second. An error when the registry has
/// none that can run.
Result<AaNoise> measure_aa_noise(const Registry& registry);

}  // namespace attnbench::cli
