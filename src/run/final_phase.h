// The end of a sweep: what is left of its budget goes to the cases whose intervals are widest.
#pragma once

#include <functional>
#include <vector>

#include "measure/revisit.h"
#include "record/record.h"
#include "run/sweep_state.h"

namespace attnbench::run {

using Deliver = std::function<void(const std::vector<Record>&, const std::vector<SampleRow>&)>;

/// Returns to measured cases that ran out of time, as long as time is left or until their intervals
/// are narrow enough: plans made once more from the same seed, samples added as further rounds.
/// `deliver` gets the new form of rows, and the new samples only. A case that fails here keeps what
/// was measured of it. An interrupt ends it between samples; what was sampled counts.
void spend_what_is_left(SweepState& state, const Deliver& deliver);

}  // namespace attnbench::run
