// What this machine can do: the roofs that variants are held against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attention/executor.h"
#include "attention/variant.h"

namespace attnbench {

/// Bandwidth of one level of the memory hierarchy at one thread count.
struct BandwidthCeiling {
  std::string level;              ///< "L1", "L2", "L3", "memory".
  std::int64_t capacity_bytes = 0;  ///< Of the level as seen by all `threads`; 0 for memory.
  int threads = 1;
  double read_bytes_per_s = 0;
  double copy_bytes_per_s = 0;  ///< Read plus write.
};

struct ComputeCeiling {
  int threads = 1;
  double flops_per_s = 0;  ///< Fused multiply-add, 2 FLOP each, float32.
  double exp_per_s = 0;    ///< float32 exponentials.
};

struct Ceilings {
  std::string isa;
  std::vector<ComputeCeiling> compute;      ///< By thread count.
  std::vector<BandwidthCeiling> bandwidth;  ///< Thread count by level, inner to outer.

  const ComputeCeiling* compute_at(int threads) const;
  /// The smallest level that holds `working_set_bytes` (hot), or memory (cold).
  const BandwidthCeiling* bandwidth_at(int threads, double working_set_bytes, bool cold) const;
};

/// max(performed_flops / fma(T) + exp_count / exp_rate(T), traffic_bytes / bandwidth(T)), seconds.
/// The working set is min_bytes plus the workspace. Nothing when the ceilings lack that thread
/// count.
std::optional<double> roofline_bound_s(const Ceilings& ceilings, const Cost& cost, int threads,
                                       bool cold);

struct DataCache {
  int level = 0;
  std::int64_t bytes = 0;
  int shared_by = 1;  ///< Logical CPUs.
};

/// Measures the ceilings at each thread count: best of several short bursts, about `seconds` in all.
Ceilings measure_ceilings(const std::vector<int>& thread_counts,
                          const std::vector<DataCache>& caches, double seconds);

}  // namespace attnbench
