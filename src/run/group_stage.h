// What the cases of one group are measured on: the same inputs, one output.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "measure/sampler.h"
#include "run/prepared_case.h"
#include "run/row.h"
#include "run/sweep_state.h"

namespace attnbench::run {

class GroupStage {
 public:
  /// Draws the inputs, and copies of them for a cold cache. `indices` into the plan's cases, all of
  /// one group. Throws std::bad_alloc.
  GroupStage(SweepState& state, std::span<const std::size_t> indices);

  const InputTensors& tensors() const { return tensors_; }
  Tensor& output() { return output_; }
  /// The arena for a case's threads.
  Executor& executor_of(std::size_t index) { return state_.arenas.at(spec(index).threads); }
  Inputs hot_inputs() { return rotation_.next(CacheState::hot); }

  /// One benchmark of a prepared case. `prepared` and this must outlive it.
  std::unique_ptr<measure::Sampler> sampler_of(std::size_t index, PreparedCase& prepared);

  /// Before each sample: wakes the threads, and with a hot cache warms it. `call_s`: about what a
  /// call takes.
  void make_ready(std::size_t index, PreparedCase& prepared, double call_s);
  /// What make_ready() and a sample of `inner` calls cost together.
  static double sample_cost_s(double call_s, std::int64_t inner);

  struct Sample {
    measure::TimedSample timed;
    EventCounts counts;
    double cost_s = 0;  ///< All in all.
  };
  /// make_ready() and one sample. Throws what the variant throws.
  Sample take(std::size_t index, PreparedCase& prepared, measure::Sampler& sampler, double call_s,
              std::int64_t inner);

 private:
  const Case& spec(std::size_t index) const { return state_.plan.cases[index]; }

  SweepState& state_;
  InputTensors tensors_;
  InputRotation rotation_;
  Tensor output_;
};

/// The row of samples.csv.
SampleRow sample_row(const std::string& case_id, int round, int order,
                     const measure::TimedSample& sample, double run_start_s);

}  // namespace attnbench::run
