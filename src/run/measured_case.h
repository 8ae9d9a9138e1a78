// What a case was measured to be, kept for as long as a later visit may go on with it.
#pragma once

#include <cstdint>
#include <vector>

#include "measure/sampler.h"
#include "record/record.h"
#include "run/row.h"

namespace attnbench::run {

struct MeasuredCase {
  std::size_t index = 0;  ///< Into the plan's cases.
  std::size_t batch = 0;  ///< Cases that were measured together share one.
  Record untimed;         ///< The row up to its verification.
  double call_s = 0;      ///< By the pilot.
  std::int64_t inner = 1;
  std::vector<measure::TimedSample> samples;
  std::vector<EventCounts> counts;       ///< Of each sample.
  std::vector<std::size_t> visit_sizes;  ///< How many of the samples each visit took.
  double sample_cost_s = 0;              ///< Of one more round.
  double setup_s = 0;                    ///< To prepare and to call it once more.
  bool given_up = false;                 ///< It failed on a later visit.
};

/// Cases that are measured together, on inputs of their own.
struct MeasuredBatch {
  double setup_s = 0;  ///< Of the inputs.
  int rounds = 0;      ///< The number of its next round.
};

/// Seconds per call of every round.
std::vector<double> wall_times(const std::vector<measure::TimedSample>& samples);

/// The row with everything that its samples tell.
Record timed_row(const MeasuredCase& measured, const Case& spec, measure::Stop stop,
                 const Ceilings& ceilings);

}  // namespace attnbench::run
