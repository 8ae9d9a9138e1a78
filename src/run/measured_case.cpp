#include "run/measured_case.h"

namespace attnbench::run {

std::vector<double> wall_times(const std::vector<measure::TimedSample>& samples) {
  std::vector<double> times;
  for (const measure::TimedSample& sample : samples) times.push_back(sample.wall_s);
  return times;
}

Record timed_row(const MeasuredCase& measured, const Case& spec, measure::Stop stop,
                 const Ceilings& ceilings) {
  Record row = measured.untimed;
  fill_timing(row, spec, measured.samples, stop, ceilings, measured.visit_sizes);
  fill_counters(row, measured.counts);
  return row;
}

}  // namespace attnbench::run
