// Crosses the axes of a SweepConfig with the registry: what will run, what cannot and why, and what
// it should cost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attention/registry.h"
#include "config/sweep_config.h"

namespace attnbench {

/// Rates that turn a Cost into seconds before anything was measured.
struct PlanRates {
  double flops_per_s_per_thread = 20e9;
  double exp_per_s_per_thread = 1e9;
  double bytes_per_s = 8e9;
};

/// One cell of the sweep.
struct Case {
  const Variant* variant = nullptr;
  ParamValues params;
  Problem problem;
  int threads = 1;
  std::string input = "gaussian";
  CacheState cache = CacheState::hot;
  Cost cost;
  GrowthLaws laws;
  double predicted_time_s = 0;    ///< One call.
  double predicted_bytes = 0;     ///< Tensors, workspace and reference, resident.
  std::optional<std::string> skip;  ///< Why it will not run.
  /// Cases with the same number are the same problem and input (different variants, parameters or
  /// threads): they are interleaved when measured.
  int group = 0;
};

struct SweepPlan {
  std::vector<Case> cases;  ///< Grouped: cases of one group are adjacent.
  double predicted_time_s = 0;
  double predicted_peak_bytes = 0;
  std::int64_t runnable() const;
};

/// Crosses all axes. Combinations that a variant does not support, that are inconsistent (heads not
/// a multiple of kv-heads) or that do not fit in `memory_limit_bytes` become cases with `skip` set,
/// never a gap.
SweepPlan make_plan(const SweepConfig& config, const Registry& registry, const PlanRates& rates,
                    double memory_limit_bytes);

}  // namespace attnbench
