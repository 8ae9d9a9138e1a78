// What this machine can do: the roofs that variants are held against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attention/executor.h"
#include "attention/variant.h"

namespace attnbench {

/// Bandwidth of one level of the memory hierarchy at one thread count.
struct BandwidthCeiling {
  std::string level;                ///< "L1", "L2", "L3", "memory".
  std::int64_t capacity_bytes = 0;  ///< Of the level as seen by all `threads`; 0 for memory.
  int threads = 1;
  double read_bytes_per_s = 0;
  double copy_bytes_per_s = 0;  ///< Read plus write.

  /// The better of the two: no mix of reads and writes is claimed to be faster.
  double best_bytes_per_s() const {
    return read_bytes_per_s > copy_bytes_per_s ? read_bytes_per_s : copy_bytes_per_s;
  }
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

  /// Null when this thread count was not measured.
  const ComputeCeiling* compute_at(int threads) const;
  /// The smallest level that holds `working_set_bytes` (hot), or memory (cold). Null when this
  /// thread count was not measured.
  const BandwidthCeiling* bandwidth_at(int threads, double working_set_bytes, bool cold) const;
};

/// max(performed_flops / fma(T) + exp_count / exp_rate(T), traffic_bytes / bandwidth(T)), seconds,
/// where float64 has half of fma(T) and exp_rate(T), which are float32's. The working set is
/// min_bytes plus the workspace. Nothing when the ceilings lack that thread count.
std::optional<double> roofline_bound_s(const Ceilings& ceilings, const Cost& cost, int threads,
                                       bool cold);

struct DataCache {
  int level = 0;
  std::int64_t bytes = 0;
  int shared_by = 1;  ///< Logical CPUs.
};

/// A level of the memory hierarchy, and how much of it `threads` threads on distinct CPUs have.
struct LevelPlan {
  std::string level;
  std::int64_t capacity_bytes = 0;     ///< Of all instances that the threads use; 0 for memory.
  std::int64_t thread_read_bytes = 0;  ///< What one thread reads, a multiple of 512.
};

/// Buffers that stay within each level but not within the one before: half of a thread's part of a
/// cache; for memory at least four times the last cache, over all threads, but no more than
/// `memory_limit_bytes`. Pure.
std::vector<LevelPlan> plan_levels(const std::vector<DataCache>& caches, int threads,
                                   std::int64_t memory_limit_bytes);

/// Measures the ceilings at each thread count, in the instruction set in use: best of several short
/// bursts, about `seconds` in all. `caches` are the data and unified ones.
Ceilings measure_ceilings(const std::vector<int>& thread_counts,
                          const std::vector<DataCache>& caches, double seconds);

/// The multiply-add peak on all threads of `executor`, best of several bursts within `seconds`:
/// cheap enough to repeat beside a sweep, since shared machines change speed.
double measure_fma_flops_per_s(Executor& executor, double seconds);

}  // namespace attnbench
