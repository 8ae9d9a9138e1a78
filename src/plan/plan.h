// Crosses the axes of a SweepConfig with the registry: what will run, what cannot and why, and what
// it should cost.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attention/capture.h"
#include "attention/registry.h"
#include "config/sweep_config.h"

namespace attnbench {

/// Rates that turn a Cost into seconds before anything was measured.
struct PlanRates {
  double flops_per_s_per_thread = 20e9;
  double exp_per_s_per_thread = 1e9;
  double bytes_per_s = 8e9;
  /// Scalar multiply-adds of the float64 reference, which runs on one thread.
  double reference_macs_per_s = 1.2e9;
  /// Size of the last-level cache: a cold case rotates copies of its inputs over twice as much.
  double last_level_cache_bytes = 32.0 * 1048576;
};

/// One cell of the sweep.
struct Case {
  const Variant* variant = nullptr;
  ParamValues params;
  Problem problem;
  int threads = 1;
  std::string input = "gaussian";  ///< A distribution, or the capture's label.
  /// Recorded inputs; null where they are drawn.
  std::shared_ptr<const Capture> capture;
  CacheState cache = CacheState::hot;
  Cost cost;  ///< Zero where the variant cannot run the problem or its tensors alone do not fit.
  GrowthLaws laws;
  double predicted_time_s = 0;      ///< One call.
  double predicted_bytes = 0;       ///< Tensors, workspace and reference, resident.
  std::optional<std::string> skip;  ///< Why it will not run.
  /// Cases with the same number are the same problem and input (different variants, parameters or
  /// threads): they are interleaved when measured.
  int group = 0;
};

struct SweepPlan {
  std::vector<Case> cases;  ///< Grouped: cases of one group are adjacent.
  /// The whole sweep, verification included: unlimited_time_s, or the budget where that is less.
  double predicted_time_s = 0;
  double predicted_peak_bytes = 0;  ///< Of the largest group.
  double unlimited_time_s = 0;      ///< With a typical number of samples of every case.
  double budget_s = 0;              ///< As configured.
  double memory_limit_bytes = 0;    ///< As given to make_plan.
  std::int64_t runnable() const;
};

/// Crosses all axes. Combinations that a variant does not support, that are inconsistent (heads not
/// a multiple of kv-heads) or that do not fit in `memory_limit_bytes` become cases with `skip` set,
/// never a gap.
///
/// Order, outer to inner: pass, batch, heads, kv-heads, dim, dim-v, causal, key-lengths, mask,
/// input, seq, seq-k; these make a group. Within a group: variants as configured, their parameters
/// (sorted by name, the last varying fastest), threads, cache.
///
/// An input "file:PATH" takes its tensors from `captures` and has their batch, heads and
/// dimensions: the axes of these are not crossed for it. Lengths beyond what was recorded are
/// skipped.
///
/// Modes: `self` has Nk = Nq = seq; where seq-k says otherwise the cell's mode is cross. `cross`
/// labels every cell cross. `decode` has Nk = seq and Nq = seq-q.
SweepPlan make_plan(const SweepConfig& config, const Registry& registry, const PlanRates& rates,
                    double memory_limit_bytes, const CaptureSet& captures = {});

/// The inputs of a case: drawn from the seed, or cut from its capture. Throws std::bad_alloc.
InputTensors make_inputs(const Case& cell, std::uint64_t seed);

/// The plan as text for people: what all cells share, a table of the cells that run, the skipped
/// ones with their reasons, totals. Plain text that ends with a line break.
std::string format_plan(const SweepPlan& plan);

}  // namespace attnbench
