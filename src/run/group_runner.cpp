#include "run/group_runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "run/row.h"

namespace attnbench::run {
namespace {

/// A first call of this length is as good as a warm one: what a cold start costs is far less.
constexpr double kFirstCallCounts_s = 0.02;
constexpr double kPilot_s = 2e-3;

RowStatus status_of(const Error& error) {
  return error.kind == Error::Kind::out_of_memory ? RowStatus::out_of_memory : RowStatus::failed;
}

}  // namespace

GroupRunner::GroupRunner(SweepState& state, std::vector<std::size_t> indices)
    : state_(state), indices_(std::move(indices)), closed_(indices_.size(), false) {
  for (std::size_t index : indices_) {
    rows_.push_back(
        planned_row(spec(index), state_.options.config, state_.options.run_id, state_.isa));
  }
}

Record& GroupRunner::row_of(std::size_t index) {
  const auto at = std::ranges::find(indices_, index) - indices_.begin();
  return rows_[static_cast<std::size_t>(at)];
}

void GroupRunner::close(std::size_t index) {
  const auto at = std::ranges::find(indices_, index) - indices_.begin();
  closed_[static_cast<std::size_t>(at)] = true;
  state_.settle(index);
}

void GroupRunner::fail(std::size_t index, const Error& error) {
  set_status(row_of(index), status_of(error), error.message);
  close(index);
}

std::vector<Record> GroupRunner::rows() const {
  std::vector<Record> finished;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (closed_[i]) finished.push_back(rows_[i]);
  }
  return finished;
}

void GroupRunner::run() {
  for (std::size_t index : indices_) {
    if (spec(index).skip) close(index);
  }
  std::vector<std::size_t> runnable;
  for (std::size_t index : indices_) {
    if (!spec(index).skip) runnable.push_back(index);
  }
  if (runnable.empty() || state_.interrupted()) return;
  try {
    const double begin_s = measure::steady_now_s();
    stage_.emplace(state_, runnable);
    inputs_s_ = measure::steady_now_s() - begin_s;
    references_.emplace(spec(runnable.front()).problem, stage_->tensors().view(),
                        state_.options.config.seed);
    state_.outcome.phases.inputs_s += measure::steady_now_s() - begin_s;
    for (const auto& batch : batches()) {
      if (!state_.interrupted()) run_batch(batch);
    }
  } catch (...) {
    // Only what the group itself needs gets here: a case's own failures are caught where they
    // happen.
    const Error error = current_exception_error();
    for (std::size_t i = 0; i < indices_.size(); ++i) {
      if (!closed_[i]) fail(indices_[i], error);
    }
  }
}

std::vector<std::vector<std::size_t>> GroupRunner::batches() const {
  const double limit = state_.plan.memory_limit_bytes;
  std::vector<std::vector<std::size_t>> all;
  double held = 0;
  for (std::size_t i = 0; i < indices_.size(); ++i) {
    if (closed_[i]) continue;
    const Case& c = spec(indices_[i]);
    const auto workspace = static_cast<double>(c.cost.workspace_bytes);
    // The prediction holds the tensors, the references and this case's own workspace.
    if (all.empty() || (limit > 0 && c.predicted_bytes + held > limit)) {
      all.emplace_back();
      held = 0;
    }
    all.back().push_back(indices_[i]);
    held += workspace;
  }
  return all;
}

void GroupRunner::run_batch(const std::vector<std::size_t>& batch) {
  std::vector<std::unique_ptr<Candidate>> candidates;
  for (std::size_t index : batch) {
    if (state_.interrupted()) return;
    if (auto candidate = admit(index)) candidates.push_back(std::move(candidate));
  }
  if (!candidates.empty() && !state_.interrupted()) sample_rounds(candidates);
}

bool GroupRunner::can_afford(std::size_t index) {
  const double elapsed_s = state_.elapsed_s();
  if (state_.budget.affordable(index, elapsed_s)) return true;
  set_status(
      row_of(index), RowStatus::skipped,
      fmt::format("a call is expected to take {:.3g} s, {:.3g} s of the sweep's budget of "
                  "{:.3g} s are left for it and for cheaper cases",
                  state_.forecast.call_s(spec(index)),
                  std::max(0.0, state_.budget.left_s(elapsed_s)), state_.options.config.budget_s));
  state_.refused.push_back(index);
  close(index);
  return false;
}

std::unique_ptr<GroupRunner::Candidate> GroupRunner::admit(std::size_t index) {
  if (!can_afford(index)) return nullptr;
  state_.tell(index, "verify");
  const double begin_s = measure::steady_now_s();
  auto prepared = PreparedCase::create(spec(index), state_.options.config.seed);
  const double prepare_s = measure::steady_now_s() - begin_s;
  state_.outcome.phases.prepare_s += prepare_s;
  if (!prepared) {
    fail(index, prepared.error());
    return nullptr;
  }
  auto candidate = std::make_unique<Candidate>();
  candidate->measured.index = index;
  candidate->prepared = std::move(*prepared);
  if (!verify(*candidate)) return nullptr;
  state_.tell(index, "pilot");
  if (!pilot(*candidate)) return nullptr;
  candidate->measured.setup_s = prepare_s + candidate->measured.call_s;
  return candidate;
}

bool GroupRunner::verify(Candidate& candidate) {
  const std::size_t index = candidate.measured.index;
  Tensor& output = stage_->output();
  poison(output);
  Executor& executor = stage_->executor_of(index);
  const double begin_s = measure::steady_now_s();
  const Status status = candidate.prepared->try_run(stage_->hot_inputs(), output.view(), executor);
  candidate.measured.call_s = measure::steady_now_s() - begin_s;
  state_.outcome.phases.first_call_s += candidate.measured.call_s;
  if (!status) {
    fail(index, status.error());
    return false;
  }
  try {
    const PhaseTimer timer(state_.outcome.phases.reference_s);
    Executor& all = state_.arenas.at(kernels::available_cpus());
    const Verification found = verify_output(*candidate.prepared, output.view(), *references_, all);
    fill_verification(row_of(index), found);
    if (found.passed) return true;
    set_status(row_of(index), RowStatus::failed, found.reason);
    close(index);
  } catch (...) {
    fail(index, current_exception_error());
  }
  return false;
}

bool GroupRunner::pilot(Candidate& candidate) {
  const PhaseTimer timer(state_.outcome.phases.pilot_s);
  const std::size_t index = candidate.measured.index;
  const Case& c = spec(index);
  double& call_s = candidate.measured.call_s;
  candidate.sampler = stage_->sampler_of(index, *candidate.prepared);
  try {
    stage_->make_ready(index, *candidate.prepared, call_s);
    if (call_s < kFirstCallCounts_s) call_s = candidate.sampler->sample(1).wall_s;
    const double limit_s = state_.options.config.case_timeout_s;
    if (call_s > limit_s) {
      set_status(row_of(index), RowStatus::timeout,
                 fmt::format("one call took {:.3g} s, the limit is {:.3g} s", call_s, limit_s));
      close(index);
      return false;
    }
    for (std::int64_t n = 2; call_s < kPilot_s / 2; n *= 8) {
      const measure::TimedSample sample = candidate.sampler->sample(n);
      call_s = sample.wall_s;
      if (sample.wall_s * static_cast<double>(n) >= kPilot_s) break;
    }
  } catch (...) {
    fail(index, current_exception_error());
    return false;
  }
  candidate.measured.inner =
      measure::inner_iterations(call_s, kMinSample_s, measure::clock_resolution_s());
  state_.forecast.learn(c, call_s);
  state_.touched[index] = true;
  state_.budget.revise(index,
                       sampling_need(call_s * static_cast<double>(candidate.measured.inner)));
  return can_afford(index);
}

void GroupRunner::sample_rounds(std::vector<std::unique_ptr<Candidate>>& candidates) {
  state_.revise_needs();
  std::vector<std::size_t> batch;
  std::vector<double> costs;
  for (const auto& candidate : candidates) {
    const MeasuredCase& measured = candidate->measured;
    batch.push_back(measured.index);
    costs.push_back(GroupStage::sample_cost_s(measured.call_s, measured.inner));
  }
  const SweepConfig& config = state_.options.config;
  const double share_s = state_.budget.share_s(batch, state_.elapsed_s());
  measure::GroupSchedule schedule({.target_relative_half_width = config.target_ci,
                                   .max_rounds = config.max_samples,
                                   .time_s = share_s},
                                  costs, config.seed + static_cast<std::uint64_t>(batch.front()));
  for (auto round = schedule.next_round(); !round.empty() && !state_.interrupted();
       round = schedule.next_round()) {
    int order = 0;
    for (std::size_t i : round) {
      if (state_.interrupted()) break;
      state_.tell(candidates[i]->measured.index, "sample");
      const auto cost_s = take_sample(*candidates[i], schedule.rounds() - 1, order++);
      if (cost_s) {
        schedule.record(i, candidates[i]->measured.samples.back().wall_s, *cost_s);
      } else {
        schedule.drop(i);
      }
    }
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    candidates[i]->measured.sample_cost_s = schedule.sample_cost_s(i);
    finish(*candidates[i], schedule.state(i));
  }
  state_.batches.push_back({inputs_s_, schedule.rounds()});
}

std::optional<double> GroupRunner::take_sample(Candidate& candidate, int round, int order) {
  MeasuredCase& measured = candidate.measured;
  const std::string id = row_of(measured.index).axes.case_id();
  try {
    const GroupStage::Sample sample = stage_->take(
        measured.index, *candidate.prepared, *candidate.sampler, measured.call_s, measured.inner);
    measured.samples.push_back(sample.timed);
    measured.counts.push_back(sample.counts);
    samples_.push_back(sample_row(id, round, order, sample.timed, state_.start_s));
    return sample.cost_s;
  } catch (...) {
    candidate.failed = true;
    std::erase_if(samples_, [&](const SampleRow& sample) { return sample.case_id == id; });
    fail(measured.index, current_exception_error());
    return std::nullopt;
  }
}

void GroupRunner::finish(Candidate& candidate, measure::Stop stop) {
  MeasuredCase& measured = candidate.measured;
  if (candidate.failed || measured.samples.empty()) return;
  const std::size_t index = measured.index;
  measured.batch = state_.batches.size();
  measured.untimed = row_of(index);
  measured.visit_sizes = {measured.samples.size()};
  row_of(index) = timed_row(measured, spec(index), stop, state_.ceilings);
  if (stop == measure::Stop::no) {
    add_reason(row_of(index), fmt::format("interrupted after {} rounds", measured.samples.size()));
  }
  close(index);
  if (stop == measure::Stop::budget) state_.measured.push_back(std::move(measured));
}

}  // namespace attnbench::run
