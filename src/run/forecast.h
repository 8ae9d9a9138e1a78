// How long cases will take, corrected by how long earlier ones took.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "measure/schedule.h"
#include "plan/plan.h"

namespace attnbench::run {

/// A sample lasts at least this long.
constexpr double kMinSample_s = 5e-3;
/// Multiply-adds a second of the float64 references, on one thread.
constexpr double kReferenceMacsPerSecond = 1e9;

/// Before a variant was ever called, its plan's prediction may be far off, and no case is refused
/// on its word alone unless it is off by more than this.
constexpr double kUnlearntLeniency = 4;

class Forecast {
 public:
  /// Seconds of one call.
  double call_s(const Case& spec) const;
  /// Whether a call of this variant on as many threads was timed before.
  bool learnt(const Case& spec) const;
  void learn(const Case& spec, double measured_call_s);
  /// Of a case that has not been touched: verification, warm call, samples. `sharing` cases share
  /// the reference.
  measure::CaseNeed need(const Case& spec, int sharing) const;

 private:
  std::map<std::pair<std::string, int>, double> correction_;
};

/// Of a case that was verified and whose sample costs `sample_s`.
measure::CaseNeed sampling_need(double sample_s);

}  // namespace attnbench::run
