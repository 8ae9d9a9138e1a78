#include "run/group_stage.h"

#include <algorithm>

namespace attnbench::run {
namespace {

/// Shorter calls are warmed by a call before each sample; longer ones outlast the refilling of the
/// caches, and touching the tensors is enough.
constexpr double kWarmCallBelow_s = 2e-3;

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

bool any_of_cache(const SweepState& state, std::span<const std::size_t> indices, CacheState cache) {
  return std::ranges::any_of(
      indices, [&](std::size_t index) { return state.plan.cases[index].cache == cache; });
}

}  // namespace

GroupStage::GroupStage(SweepState& state, std::span<const std::size_t> indices)
    : state_(state),
      tensors_(make_inputs(spec(indices.front()), state.options.config.seed)),
      rotation_(tensors_, spec(indices.front()).problem.layout,
                any_of_cache(state, indices, CacheState::hot),
                any_of_cache(state, indices, CacheState::cold),
                last_level_cache_bytes(state.ceilings)),
      output_(make_output(spec(indices.front()).problem)) {}

std::unique_ptr<measure::Sampler> GroupStage::sampler_of(std::size_t index,
                                                         PreparedCase& prepared) {
  // The arena is looked up outside of the timed region, in make_ready().
  return std::make_unique<measure::Sampler>(
      case_label(spec(index)), [this, index, &prepared, cache = spec(index).cache] {
        prepared.run(rotation_.next(cache), output_.view(), executor_of(index));
      });
}

void GroupStage::make_ready(std::size_t index, PreparedCase& prepared, double call_s) {
  Executor& executor = executor_of(index);
  // Wakes the threads: they may have slept while other cases ran.
  executor.parallel_for(executor.threads(), [](std::int64_t, int) {});
  if (spec(index).cache == CacheState::cold) return;
  if (call_s < kWarmCallBelow_s) {
    prepared.run(hot_inputs(), output_.view(), executor);
    return;
  }
  const Inputs inputs = hot_inputs();
  for (const ConstTensorView& tensor : {inputs.q, inputs.k, inputs.v}) {
    touch(tensor.data, static_cast<std::size_t>(tensor.elements()));
  }
  touch(output_.buffer().data(), output_.buffer().size());
}

double GroupStage::sample_cost_s(double call_s, std::int64_t inner) {
  const bool warms = call_s < kWarmCallBelow_s;
  return call_s * static_cast<double>(inner + (warms ? 1 : 0));
}

GroupStage::Sample GroupStage::take(std::size_t index, PreparedCase& prepared,
                                    measure::Sampler& sampler, double call_s, std::int64_t inner) {
  const double begin_s = measure::steady_now_s();
  make_ready(index, prepared, call_s);
  state_.outcome.phases.warm_s += measure::steady_now_s() - begin_s;
  const auto counted_before = state_.counters.read();
  Sample sample;
  sample.timed = sampler.sample(inner);
  sample.counts = events_per_call(counted_before, state_.counters.read(), sample.timed.iterations);
  state_.outcome.timed_s += sample.timed.wall_s * static_cast<double>(sample.timed.iterations);
  sample.cost_s = measure::steady_now_s() - begin_s;
  return sample;
}

SampleRow sample_row(const std::string& case_id, int round, int order,
                     const measure::TimedSample& sample, double run_start_s) {
  return {case_id,
          round,
          order,
          sample.iterations,
          sample.wall_s,
          sample.cpu_s,
          sample.start_s - run_start_s};
}

}  // namespace attnbench::run
