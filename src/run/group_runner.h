// Measures the cases of one group: the same problem and input, so they are compared, so they are
// interleaved.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "measure/sampler.h"
#include "run/group_stage.h"
#include "run/measured_case.h"
#include "run/prepared_case.h"
#include "run/reference_cache.h"
#include "run/row.h"
#include "run/sweep_state.h"

namespace attnbench::run {

class GroupRunner {
 public:
  /// `indices` into the plan's cases, in its order, all of one group.
  GroupRunner(SweepState& state, std::vector<std::size_t> indices);

  /// Fills rows() and samples(). Never throws what a variant throws.
  void run();

  /// The finished rows, in plan order.
  std::vector<Record> rows() const;
  const std::vector<SampleRow>& samples() const { return samples_; }

 private:
  /// A case that passed its verification and is being sampled.
  struct Candidate {
    MeasuredCase measured;
    std::unique_ptr<PreparedCase> prepared;
    std::unique_ptr<measure::Sampler> sampler;
    bool failed = false;
  };

  /// Consecutive cases whose workspaces fit in memory together.
  std::vector<std::vector<std::size_t>> batches() const;
  void run_batch(const std::vector<std::size_t>& batch);

  std::unique_ptr<Candidate> admit(std::size_t index);
  bool verify(Candidate& candidate);
  bool pilot(Candidate& candidate);
  bool can_afford(std::size_t index);

  void sample_rounds(std::vector<std::unique_ptr<Candidate>>& candidates);
  /// One sample of one case; its cost in seconds, or nothing when the case failed.
  std::optional<double> take_sample(Candidate& candidate, int round, int order);
  void finish(Candidate& candidate, measure::Stop stop);

  Record& row_of(std::size_t index);
  void close(std::size_t index);
  void fail(std::size_t index, const Error& error);
  const Case& spec(std::size_t index) const { return state_.plan.cases[index]; }

  SweepState& state_;
  std::vector<std::size_t> indices_;
  std::vector<Record> rows_;
  std::vector<bool> closed_;
  std::vector<SampleRow> samples_;
  std::optional<GroupStage> stage_;
  std::optional<ReferenceCache> references_;
  double inputs_s_ = 0;  ///< What setting up the stage took.
};

}  // namespace attnbench::run
