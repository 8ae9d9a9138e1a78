#include "kernels/ceilings.h"

#include <fmt/format.h>

#include <algorithm>

namespace attnbench {

const ComputeCeiling* Ceilings::compute_at(int threads) const {
  const auto found = std::ranges::find(compute, threads, &ComputeCeiling::threads);
  return found == compute.end() ? nullptr : &*found;
}

const BandwidthCeiling* Ceilings::bandwidth_at(int threads, double working_set_bytes,
                                               bool cold) const {
  const BandwidthCeiling* outermost = nullptr;
  for (const BandwidthCeiling& level : bandwidth) {
    if (level.threads != threads) continue;
    outermost = &level;
    const bool holds =
        level.capacity_bytes > 0 && working_set_bytes <= static_cast<double>(level.capacity_bytes);
    if (!cold && holds) return &level;
  }
  return outermost;
}

std::optional<double> roofline_bound_s(const Ceilings& ceilings, const Cost& cost, int threads,
                                       bool cold) {
  const ComputeCeiling* compute = ceilings.compute_at(threads);
  const double working_set = cost.min_bytes + static_cast<double>(cost.workspace_bytes);
  const BandwidthCeiling* bandwidth = ceilings.bandwidth_at(threads, working_set, cold);
  if (compute == nullptr || bandwidth == nullptr) return std::nullopt;
  const double bytes_per_s = bandwidth->best_bytes_per_s();
  if (!(compute->flops_per_s > 0) || !(compute->exp_per_s > 0) || !(bytes_per_s > 0)) {
    return std::nullopt;
  }
  return std::max(cost.compute_time_s(compute->flops_per_s, compute->exp_per_s),
                  cost.traffic_bytes / bytes_per_s);
}

std::vector<LevelPlan> plan_levels(const std::vector<DataCache>& caches, int threads,
                                   std::int64_t memory_limit_bytes) {
  constexpr std::int64_t kGrain = 512;  // Eight AVX-512 vectors, and 128 floats.
  std::vector<DataCache> sorted = caches;
  std::ranges::stable_sort(sorted, {}, &DataCache::level);
  std::vector<LevelPlan> levels;
  std::int64_t last_bytes = std::int64_t{8} << 20;  // Where no cache is known.
  for (const DataCache& cache : sorted) {
    if (cache.bytes < 2 * kGrain) continue;
    const std::int64_t sharing = std::min<std::int64_t>(std::max(cache.shared_by, 1), threads);
    const std::int64_t instances = (threads + sharing - 1) / sharing;
    LevelPlan level;
    level.level = fmt::format("L{}", cache.level);
    level.capacity_bytes = cache.bytes * instances;
    level.thread_read_bytes = cache.bytes / sharing / 2 / kGrain * kGrain;
    last_bytes = level.capacity_bytes;
    levels.push_back(std::move(level));
  }
  LevelPlan memory;
  memory.level = "memory";
  const std::int64_t total = std::min(4 * last_bytes, memory_limit_bytes);
  memory.thread_read_bytes = std::max(kGrain, total / threads / kGrain * kGrain);
  levels.push_back(std::move(memory));
  return levels;
}

}  // namespace attnbench
