#include "run/final_phase.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "run/group_stage.h"

namespace attnbench::run {
namespace {

/// Less than this share of the budget is not worth setting anything up for.
constexpr double kNotWorthIt = 0.02;

/// One return to cases that were measured together.
class BatchVisit {
 public:
  BatchVisit(SweepState& state, const measure::Visit& visit) : state_(state), visit_(visit) {}

  void run() {
    std::vector<std::size_t> indices;
    for (const std::size_t i : visit_.cases) indices.push_back(state_.measured[i].index);
    try {
      const double begin_s = measure::steady_now_s();
      stage_.emplace(state_, indices);
      state_.outcome.phases.inputs_s += measure::steady_now_s() - begin_s;
    } catch (...) {
      const Error error = current_exception_error();
      for (const std::size_t i : visit_.cases) give_up(state_.measured[i], error);
      return;
    }
    std::vector<Guest> guests;
    for (const std::size_t i : visit_.cases) {
      if (state_.interrupted()) return;
      admit(state_.measured[i], guests);
    }
    if (!guests.empty()) sample_rounds(guests);
  }

  const std::vector<Record>& rows() const { return rows_; }
  const std::vector<SampleRow>& samples() const { return samples_; }

 private:
  struct Guest {
    MeasuredCase* measured = nullptr;
    std::unique_ptr<PreparedCase> prepared;
    std::unique_ptr<measure::Sampler> sampler;
    std::size_t earlier = 0;  ///< Samples of earlier visits.
  };

  const Case& spec(const MeasuredCase& measured) const { return state_.plan.cases[measured.index]; }

  measure::StoppingRule rule() const {
    return measure::StoppingRule({.target_relative_half_width = state_.options.config.target_ci,
                                  .budget_s = 0,
                                  .max_samples = state_.options.config.max_samples});
  }

  /// Why the case has the rounds that it has. Where visits differ no number of them is precise.
  Record row_of(const MeasuredCase& measured) const {
    measure::Stop stop = rule().decide(wall_times(measured.samples), 0);
    const bool differ =
        measure::pooled_interval(wall_times(measured.samples), measured.visit_sizes).visits_differ;
    if (differ && stop == measure::Stop::precision) stop = measure::Stop::budget;
    return timed_row(measured, spec(measured), stop, state_.ceilings);
  }

  void give_up(MeasuredCase& measured, const Error& error) {
    measured.given_up = true;
    add_reason(measured.untimed,
               "warning: a later visit failed, these are the rounds before it: " + error.message);
    rows_.push_back(row_of(measured));
  }

  void admit(MeasuredCase& measured, std::vector<Guest>& guests) {
    state_.tell(measured.index, "again");
    Guest guest;
    guest.measured = &measured;
    guest.earlier = measured.samples.size();
    {
      const PhaseTimer timer(state_.outcome.phases.prepare_s);
      auto prepared = PreparedCase::create(spec(measured), state_.options.config.seed);
      if (!prepared) return give_up(measured, prepared.error());
      guest.prepared = std::move(*prepared);
    }
    const PhaseTimer timer(state_.outcome.phases.warm_s);
    const Status called = guest.prepared->try_run(stage_->hot_inputs(), stage_->output().view(),
                                                  stage_->executor_of(measured.index));
    if (!called) return give_up(measured, called.error());
    guest.sampler = stage_->sampler_of(measured.index, *guest.prepared);
    guests.push_back(std::move(guest));
  }

  void sample_rounds(std::vector<Guest>& guests) {
    const SweepConfig& config = state_.options.config;
    measure::EarlierRounds earlier;
    std::vector<double> costs;
    for (const Guest& guest : guests) {
      earlier.values.push_back(wall_times(guest.measured->samples));
      costs.push_back(guest.measured->sample_cost_s);
    }
    // A number is left out: where the rounds of a group have a gap, it was returned to.
    MeasuredBatch& batch = state_.batches[visit_.batch];
    earlier.rounds = batch.rounds + 1;
    const auto first = static_cast<std::uint64_t>(guests.front().measured->index);
    measure::GroupSchedule schedule(
        {.target_relative_half_width = visit_.target_relative_half_width,
         .max_rounds = config.max_samples,
         .time_s = std::min(visit_.time_s, state_.budget.left_s(state_.elapsed_s()))},
        costs, config.seed + first, std::move(earlier));
    for (auto round = schedule.next_round(); !round.empty() && !state_.interrupted();
         round = schedule.next_round()) {
      int order = 0;
      for (const std::size_t i : round) {
        if (state_.interrupted()) break;
        take_sample(guests[i], schedule, i, order++);
      }
    }
    batch.rounds = schedule.rounds();
    for (std::size_t i = 0; i < guests.size(); ++i) finish(guests[i], schedule.sample_cost_s(i));
  }

  void take_sample(Guest& guest, measure::GroupSchedule& schedule, std::size_t i, int order) {
    MeasuredCase& measured = *guest.measured;
    state_.tell(measured.index, "again");
    try {
      const GroupStage::Sample sample = stage_->take(
          measured.index, *guest.prepared, *guest.sampler, measured.call_s, measured.inner);
      measured.samples.push_back(sample.timed);
      measured.counts.push_back(sample.counts);
      samples_.push_back(sample_row(measured.untimed.case_id(), schedule.rounds() - 1, order,
                                    sample.timed, state_.start_s));
      schedule.record(i, sample.timed.wall_s, sample.cost_s);
    } catch (...) {
      const Error error = current_exception_error();
      measured.samples.resize(guest.earlier);
      measured.counts.resize(guest.earlier);
      const std::string id = measured.untimed.case_id();
      std::erase_if(samples_, [&](const SampleRow& sample) { return sample.case_id == id; });
      schedule.drop(i);
      give_up(measured, error);
    }
  }

  void finish(Guest& guest, double sample_cost_s) {
    MeasuredCase& measured = *guest.measured;
    const std::size_t taken = measured.samples.size() - guest.earlier;
    if (measured.given_up || taken == 0) return;
    measured.sample_cost_s = sample_cost_s;
    measured.visit_sizes.push_back(taken);
    rows_.push_back(row_of(measured));
  }

  SweepState& state_;
  const measure::Visit& visit_;
  std::optional<GroupStage> stage_;
  std::vector<Record> rows_;
  std::vector<SampleRow> samples_;
};

std::vector<measure::Visit> visits_left(const SweepState& state) {
  const SweepConfig& config = state.options.config;
  const double left_s = state.budget.left_s(state.elapsed_s());
  if (left_s < kNotWorthIt * config.budget_s) return {};
  std::vector<measure::RevisitCase> cases;
  for (const MeasuredCase& measured : state.measured) {
    cases.push_back(
        {measured.batch, wall_times(measured.samples), measured.sample_cost_s, measured.setup_s});
    // Nothing to narrow is nothing to return to.
    if (measured.given_up) cases.back().sample_cost_s = std::numeric_limits<double>::infinity();
  }
  std::vector<double> setup_s;
  for (const MeasuredBatch& batch : state.batches) setup_s.push_back(batch.setup_s);
  return measure::plan_visits(cases, setup_s,
                              {.target_relative_half_width = config.target_ci,
                               .max_rounds = config.max_samples,
                               .time_s = left_s});
}

}  // namespace

void spend_what_is_left(SweepState& state, const Deliver& deliver) {
  while (!state.interrupted()) {
    const std::vector<measure::Visit> visits = visits_left(state);
    if (visits.empty()) return;
    for (const measure::Visit& visit : visits) {
      if (state.interrupted() || state.budget.left_s(state.elapsed_s()) <= 0) return;
      ++state.outcome.visits;
      BatchVisit batch(state, visit);
      batch.run();
      if (!batch.rows().empty()) deliver(batch.rows(), batch.samples());
    }
  }
}

}  // namespace attnbench::run
