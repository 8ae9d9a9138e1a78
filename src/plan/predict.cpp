#include "plan/predict.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

namespace attnbench::plan {
namespace {

/// A reference of up to this many multiply-adds covers all rows; a larger one is sampled to it.
constexpr double kReferenceMacs = 2e8;
constexpr double kReferenceRows = 16;

double real(std::int64_t value) { return static_cast<double>(value); }

double row_macs(const Problem& problem) {
  return real(problem.seq_k) * (real(problem.dim_qk) + real(problem.dim_v));
}

double reference_rows(const Problem& problem) {
  const double all = real(problem.batch) * real(problem.heads_q) * real(problem.seq_q);
  return std::min(all, std::max(kReferenceRows, std::floor(kReferenceMacs / row_macs(problem))));
}

}  // namespace

double tensor_bytes(const Problem& problem, CacheState cache, const PlanRates& rates) {
  const double batch = real(problem.batch);
  const double queries = batch * real(problem.heads_q) * real(problem.seq_q);
  const double keys = batch * real(problem.heads_kv) * real(problem.seq_k);
  const double float_bytes = sizeof(float);
  const double inputs = float_bytes * (queries * real(problem.dim_qk) +
                                       keys * (real(problem.dim_qk) + real(problem.dim_v)));
  const double output = float_bytes * queries * real(problem.dim_v);
  double copies = 0;
  if (cache == CacheState::cold) {
    copies = inputs * std::ceil(2 * rates.last_level_cache_bytes / inputs);
  }
  return inputs + copies + output;
}

double reference_macs(const Problem& problem) {
  return reference_rows(problem) * row_macs(problem);
}

double reference_bytes(const Problem& problem) {
  const double values = 2 * reference_rows(problem) * real(problem.dim_v) + real(problem.seq_k);
  return values * sizeof(double);
}

double call_time_s(const Cost& cost, int threads, const PlanRates& rates) {
  const double compute = cost.compute_time_s(threads * rates.flops_per_s_per_thread,
                                             threads * rates.exp_per_s_per_thread);
  return std::max(compute, cost.traffic_bytes / rates.bytes_per_s);
}

double sampling_time_s(double call_s, std::int64_t max_samples) {
  const double samples = std::min(kTypicalSamples, real(max_samples));
  const double pilot_and_samples = (1 + samples) * std::max(call_s, kSampleSeconds);
  return call_s + pilot_and_samples;
}

void predict_totals(const SweepConfig& config, const PlanRates& rates, SweepPlan& plan) {
  // Thread counts share the reference of a variant and its parameters; a group shares the one of
  // softmax attention.
  std::set<std::pair<int, std::string>> references;
  for (const Case& cell : plan.cases) {
    if (cell.skip) continue;
    plan.predicted_peak_bytes = std::max(plan.predicted_peak_bytes, cell.predicted_bytes);
    plan.unlimited_time_s += sampling_time_s(cell.predicted_time_s, config.max_samples);
    const double reference_s = reference_macs(cell.problem) / rates.reference_macs_per_s;
    const std::string name = cell.variant->info().name + ' ' + cell.params.canonical();
    if (references.emplace(cell.group, "").second) plan.unlimited_time_s += reference_s;
    if (references.emplace(cell.group, name).second) plan.unlimited_time_s += reference_s;
  }
  plan.predicted_time_s = std::min(plan.unlimited_time_s, plan.budget_s);
}

}  // namespace attnbench::plan
