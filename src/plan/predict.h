// What a cell should cost, before anything was measured.
#pragma once

#include "plan/plan.h"

namespace attnbench::plan {

/// Samples of a case at a usual spread of timings, when the budget does not cut them short.
constexpr double kTypicalSamples = 20;
/// A sample lasts at least this long, however short one call is.
constexpr double kSampleSeconds = 5e-3;

/// Bytes of Q, K, V and O, float32; with a cold cache also the copies of the inputs.
double tensor_bytes(const Problem& problem, CacheState cache, const PlanRates& rates);

/// Multiply-adds that verifying a case spends on its reference: all rows where that is cheap, else
/// a bounded sample of rows.
double reference_macs(const Problem& problem);

/// Bytes of the float64 rows that a verification compares with: of the variant's definition and of
/// softmax attention, and one row of logits.
double reference_bytes(const Problem& problem);

/// One call: max(flops / (T * rate) + exp / (T * rate), traffic / bandwidth).
double call_time_s(const Cost& cost, int threads, const PlanRates& rates);

/// Measuring one case: a warm call, a pilot and samples.
double sampling_time_s(double call_s, std::int64_t max_samples);

/// The totals of a plan whose cases and budget are set.
void predict_totals(const SweepConfig& config, const PlanRates& rates, SweepPlan& plan);

}  // namespace attnbench::plan
