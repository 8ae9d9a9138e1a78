#include "run/group_runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "run/row.h"

namespace attnbench::run {
namespace {

/// Shorter calls are warmed by a call before each sample; longer ones outlast the refilling of the
/// caches, and touching the tensors is enough.
constexpr double kWarmCallBelow_s = 2e-3;
/// A first call of this length is as good as a warm one: what a cold start costs is far less.
constexpr double kFirstCallCounts_s = 0.02;
constexpr double kPilot_s = 2e-3;

double last_level_cache_bytes(const Ceilings& ceilings) {
  std::int64_t largest = 0;
  for (const BandwidthCeiling& level : ceilings.bandwidth) {
    largest = std::max(largest, level.capacity_bytes);
  }
  return largest > 0 ? static_cast<double>(largest) : PlanRates{}.last_level_cache_bytes;
}

using Totals = std::vector<std::optional<std::int64_t>>;

EventCounts events_per_call(const Totals& before, const Totals& after, std::int64_t calls) {
  EventCounts counts;
  for (std::size_t i = 0; i < before.size(); ++i) {
    counts.emplace_back();
    if (before[i] && after[i]) {
      counts.back() = static_cast<double>(*after[i] - *before[i]) / static_cast<double>(calls);
    }
  }
  return counts;
}

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
  const auto runnable = std::ranges::find_if(
      indices_, [&](std::size_t index) { return !spec(index).skip.has_value(); });
  if (runnable == indices_.end() || state_.interrupted()) return;
  try {
    const Case& first = spec(*runnable);
    const InputTensors tensors = set_up(first);
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

InputTensors GroupRunner::set_up(const Case& first) {
  const PhaseTimer timer(state_.outcome.phases.inputs_s);
  const std::uint64_t seed = state_.options.config.seed;
  InputTensors tensors = make_inputs(first, seed);
  const auto any = [&](CacheState cache) {
    return std::ranges::any_of(indices_,
                               [&](std::size_t index) { return spec(index).cache == cache; });
  };
  rotation_.emplace(tensors, first.problem.layout, any(CacheState::hot), any(CacheState::cold),
                    last_level_cache_bytes(state_.ceilings));
  output_ = make_output(first.problem);
  references_.emplace(first.problem, tensors.view(), seed);
  return tensors;
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
  close(index);
  return false;
}

std::unique_ptr<GroupRunner::Candidate> GroupRunner::admit(std::size_t index) {
  if (!can_afford(index)) return nullptr;
  state_.tell(index, "verify");
  auto prepared = [&] {
    const PhaseTimer timer(state_.outcome.phases.prepare_s);
    return PreparedCase::create(spec(index), state_.options.config.seed);
  }();
  if (!prepared) {
    fail(index, prepared.error());
    return nullptr;
  }
  auto candidate = std::make_unique<Candidate>();
  candidate->index = index;
  candidate->prepared = std::move(*prepared);
  if (!verify(*candidate)) return nullptr;
  state_.tell(index, "pilot");
  if (!pilot(*candidate)) return nullptr;
  return candidate;
}

bool GroupRunner::verify(Candidate& candidate) {
  const std::size_t index = candidate.index;
  poison(output_);
  Executor& executor = state_.arenas.at(spec(index).threads);
  const double begin_s = measure::steady_now_s();
  const Status status =
      candidate.prepared->try_run(rotation_->next(CacheState::hot), output_.view(), executor);
  candidate.call_s = measure::steady_now_s() - begin_s;
  state_.outcome.phases.first_call_s += candidate.call_s;
  if (!status) {
    fail(index, status.error());
    return false;
  }
  try {
    const PhaseTimer timer(state_.outcome.phases.reference_s);
    Executor& all = state_.arenas.at(kernels::available_cpus());
    const Verification found =
        verify_output(*candidate.prepared, output_.view(), *references_, all);
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
  const std::size_t index = candidate.index;
  const Case& c = spec(index);
  // The arena is looked up outside of the timed region, in make_ready().
  candidate.sampler = std::make_unique<measure::Sampler>(
      case_label(c),
      [this, prepared = candidate.prepared.get(), threads = c.threads, cache = c.cache] {
        prepared->run(rotation_->next(cache), output_.view(), state_.arenas.at(threads));
      });
  try {
    make_ready(candidate);
    if (candidate.call_s < kFirstCallCounts_s) {
      candidate.call_s = candidate.sampler->sample(1).wall_s;
    }
    const double limit_s = state_.options.config.case_timeout_s;
    if (candidate.call_s > limit_s) {
      set_status(
          row_of(index), RowStatus::timeout,
          fmt::format("one call took {:.3g} s, the limit is {:.3g} s", candidate.call_s, limit_s));
      close(index);
      return false;
    }
    for (std::int64_t n = 2; candidate.call_s < kPilot_s / 2; n *= 8) {
      const measure::TimedSample sample = candidate.sampler->sample(n);
      candidate.call_s = sample.wall_s;
      if (sample.wall_s * static_cast<double>(n) >= kPilot_s) break;
    }
  } catch (...) {
    fail(index, current_exception_error());
    return false;
  }
  candidate.inner =
      measure::inner_iterations(candidate.call_s, kMinSample_s, measure::clock_resolution_s());
  state_.forecast.learn(c, candidate.call_s);
  state_.touched[index] = true;
  state_.budget.revise(index,
                       sampling_need(candidate.call_s * static_cast<double>(candidate.inner)));
  return can_afford(index);
}

void GroupRunner::make_ready(const Candidate& candidate) {
  Executor& executor = state_.arenas.at(spec(candidate.index).threads);
  // Wakes the threads: they may have slept while other cases ran.
  executor.parallel_for(executor.threads(), [](std::int64_t, int) {});
  if (spec(candidate.index).cache == CacheState::cold) return;
  if (candidate.call_s < kWarmCallBelow_s) {
    candidate.prepared->run(rotation_->next(CacheState::hot), output_.view(), executor);
    return;
  }
  const Inputs inputs = rotation_->next(CacheState::hot);
  for (const ConstTensorView& tensor : {inputs.q, inputs.k, inputs.v}) {
    touch(tensor.data, static_cast<std::size_t>(tensor.elements()));
  }
  touch(output_.buffer().data(), output_.buffer().size());
}

void GroupRunner::sample_rounds(std::vector<std::unique_ptr<Candidate>>& candidates) {
  state_.revise_needs();
  std::vector<std::size_t> batch;
  std::vector<double> costs;
  for (const auto& candidate : candidates) {
    batch.push_back(candidate->index);
    const bool warms = candidate->call_s < kWarmCallBelow_s;
    costs.push_back(candidate->call_s * static_cast<double>(candidate->inner + (warms ? 1 : 0)));
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
      state_.tell(candidates[i]->index, "sample");
      const auto cost_s = take_sample(*candidates[i], schedule.rounds() - 1, order++);
      if (cost_s) {
        schedule.record(i, candidates[i]->samples.back().wall_s, *cost_s);
      } else {
        schedule.drop(i);
      }
    }
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) finish(*candidates[i], schedule.state(i));
}

std::optional<double> GroupRunner::take_sample(Candidate& candidate, int round, int order) {
  const double begin_s = measure::steady_now_s();
  try {
    make_ready(candidate);
    state_.outcome.phases.warm_s += measure::steady_now_s() - begin_s;
    const auto counted_before = state_.counters.read();
    const measure::TimedSample sample = candidate.sampler->sample(candidate.inner);
    candidate.samples.push_back(sample);
    candidate.counts.push_back(
        events_per_call(counted_before, state_.counters.read(), sample.iterations));
    state_.outcome.timed_s += sample.wall_s * static_cast<double>(sample.iterations);
    samples_.push_back({row_of(candidate.index).axes.case_id(), round, order, sample.iterations,
                        sample.wall_s, sample.cpu_s, sample.start_s - state_.start_s});
    return measure::steady_now_s() - begin_s;
  } catch (...) {
    candidate.failed = true;
    const std::string id = row_of(candidate.index).axes.case_id();
    std::erase_if(samples_, [&](const SampleRow& sample) { return sample.case_id == id; });
    fail(candidate.index, current_exception_error());
    return std::nullopt;
  }
}

void GroupRunner::finish(Candidate& candidate, measure::Stop stop) {
  if (candidate.failed || candidate.samples.empty()) return;
  Record& row = row_of(candidate.index);
  fill_timing(row, spec(candidate.index), candidate.samples, stop, state_.ceilings);
  fill_counters(row, candidate.counts);
  if (stop == measure::Stop::no) {
    add_reason(row, fmt::format("interrupted after {} rounds", candidate.samples.size()));
  }
  close(candidate.index);
}

}  // namespace attnbench::run
