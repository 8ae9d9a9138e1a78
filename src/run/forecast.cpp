#include "run/forecast.h"

#include <algorithm>

#include "run/reference_cache.h"

namespace attnbench::run {
namespace {

/// Rounds of a case whose timings scatter as usual, and of one where they scatter widely.
constexpr double kUsualRounds = 15;
constexpr double kManyRounds = 60;

std::pair<std::string, int> key_of(const Case& spec) {
  return {spec.variant->info().name, spec.threads};
}

}  // namespace

double Forecast::call_s(const Case& spec) const {
  const auto found = correction_.find(key_of(spec));
  return spec.predicted_time_s * (found == correction_.end() ? 1.0 : found->second);
}

bool Forecast::learnt(const Case& spec) const { return correction_.contains(key_of(spec)); }

void Forecast::learn(const Case& spec, double measured_call_s) {
  if (spec.predicted_time_s > 0 && measured_call_s > 0) {
    correction_[key_of(spec)] = measured_call_s / spec.predicted_time_s;
  }
}

measure::CaseNeed Forecast::need(const Case& spec, int sharing) const {
  const double call = call_s(spec);
  const double check_s =
      2 * reference_macs(spec.problem) / kReferenceMacsPerSecond / std::max(sharing, 1);
  const double sample_s = std::max(call, kMinSample_s);
  const double minimum = call + sample_s;
  const double setup_s = check_s + 2 * call;
  return {learnt(spec) ? check_s + minimum : minimum / kUnlearntLeniency,
          setup_s + kUsualRounds * sample_s, setup_s + kManyRounds * sample_s};
}

measure::CaseNeed sampling_need(double sample_s) {
  return {sample_s, kUsualRounds * sample_s, kManyRounds * sample_s};
}

}  // namespace attnbench::run
