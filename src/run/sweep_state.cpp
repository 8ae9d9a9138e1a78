#include "run/sweep_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "kernels/isa.h"

namespace attnbench::run {
namespace {

std::vector<int> count_sharing(const SweepPlan& plan) {
  using Key = std::tuple<int, std::string, std::string>;
  const auto key_of = [](const Case& spec) {
    return Key{spec.group, spec.variant->info().name, spec.params.canonical()};
  };
  std::map<Key, int> counts;
  for (const Case& spec : plan.cases) ++counts[key_of(spec)];
  std::vector<int> sharing;
  for (const Case& spec : plan.cases) sharing.push_back(counts[key_of(spec)]);
  return sharing;
}

}  // namespace

SweepState::SweepState(const SweepPlan& plan_in, const Ceilings& ceilings_in,
                       const RunOptions& options_in)
    : plan(plan_in),
      ceilings(ceilings_in),
      options(options_in),
      isa(kernels::active_isa()),
      start_s(measure::steady_now_s()),
      counters(options_in.config.counters == CounterUse::off ? std::vector<measure::CounterEvent>{}
                                                             : measure::hardware_events()),
      budget(options_in.config.budget_s, std::vector<measure::CaseNeed>(plan_in.cases.size())),
      touched(plan_in.cases.size(), false),
      sharing_(count_sharing(plan_in)) {}

void SweepState::settle(std::size_t index) {
  touched[index] = true;
  budget.settle(index);
  ++done;
}

void SweepState::reopen(std::size_t index) {
  touched[index] = false;
  budget.reopen(index);
  --done;
}

void SweepState::tell(std::size_t index, const char* phase) {
  constexpr double kInterval_s = 0.05;
  if (!options.progress) return;
  const double now_s = elapsed_s();
  if (last_told_s_ >= 0 && now_s - last_told_s_ < kInterval_s) return;
  last_told_s_ = now_s;
  const double left_s =
      outcome.visits > 0 ? std::max(budget.left_s(now_s), 0.0) : budget.expected_left_s(now_s);
  options.progress({done, total, case_label(plan.cases[index]), phase, now_s, left_s});
}

void SweepState::revise_needs() {
  for (std::size_t i = 0; i < plan.cases.size(); ++i) {
    if (!touched[i]) budget.revise(i, forecast.need(plan.cases[i], sharing_[i]));
  }
}

std::string case_label(const Case& spec) {
  const Problem& p = spec.problem;
  const std::string lengths = p.seq_q == p.seq_k ? fmt::format("N={}", p.seq_q)
                                                 : fmt::format("Nq={} Nk={}", p.seq_q, p.seq_k);
  return fmt::format("{} {}{} T={}", spec.variant->info().name, lengths, p.causal ? " causal" : "",
                     spec.threads);
}

}  // namespace attnbench::run
