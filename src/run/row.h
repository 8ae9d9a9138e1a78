// From a case and what was measured of it to a row of summary.csv.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "measure/policy.h"
#include "measure/sampler.h"
#include "plan/plan.h"
#include "record/record.h"
#include "run/verify.h"

namespace attnbench::run {

/// The axis columns of a case that runs on instruction set `isa`.
CaseAxes make_axes(const Case& spec, const std::string& isa);

/// Everything that is known before the case runs: axes, model figures, seed, repro.
Record planned_row(const Case& spec, const SweepConfig& config, const std::string& run_id,
                   const std::string& isa);

/// Ends a row without figures.
void set_status(Record& row, RowStatus status, std::string reason);
/// Appends a warning to the row's reason.
void add_reason(Record& row, const std::string& text);

void fill_verification(Record& row, const Verification& verification);

/// The time columns, from one sample per round: medians, interval (empty when there are too few
/// rounds for one), census (above T + 0.1 is reported as oversubscription), rates and roofline.
/// `visit_sizes`: how many of the samples each visit took, when there was more than one; where
/// visits differ, the row says so and its interval has both.
void fill_timing(Record& row, const Case& spec, std::span<const measure::TimedSample> samples,
                 measure::Stop stop, const Ceilings& ceilings,
                 std::span<const std::size_t> visit_sizes = {});

/// Events of one call in one sample: cycles, instructions, cache misses; absent where not counted.
using EventCounts = std::vector<std::optional<double>>;

/// The counter columns: medians over samples. A column that is missing in any sample stays empty.
void fill_counters(Record& row, std::span<const EventCounts> samples);

}  // namespace attnbench::run
