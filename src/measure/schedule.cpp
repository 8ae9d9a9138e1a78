#include "measure/schedule.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attnbench::measure {

std::vector<double> water_fill(std::span<const double> needs, double total) {
  std::vector<std::size_t> order(needs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return needs[i]; });
  std::vector<double> given(needs.size(), 0);
  double left = std::max(total, 0.0);
  for (std::size_t n = 0; n < order.size(); ++n) {
    const double level = left / static_cast<double>(order.size() - n);
    given[order[n]] = std::clamp(needs[order[n]], 0.0, level);
    left -= given[order[n]];
  }
  return given;
}

SweepBudget::SweepBudget(double budget_s, std::vector<CaseNeed> needs)
    : budget_s_(budget_s), needs_(std::move(needs)), settled_(needs_.size(), false) {}

bool SweepBudget::affordable(std::size_t index, double elapsed_s) const {
  const double own = needs_.at(index).minimum_s;
  double together = own;
  for (std::size_t i = 0; i < needs_.size(); ++i) {
    if (i == index || settled_[i]) continue;
    const double other = needs_[i].minimum_s;
    if (other < own || (other == own && i < index)) together += other;
  }
  return together <= left_s(elapsed_s);
}

double SweepBudget::share_s(std::span<const std::size_t> indices, double elapsed_s) const {
  std::vector<double> wanted(needs_.size(), 0), beyond(needs_.size(), 0);
  for (std::size_t i = 0; i < needs_.size(); ++i) {
    if (settled_[i]) continue;
    wanted[i] = std::max(needs_[i].wanted_s, needs_[i].minimum_s);
    beyond[i] = std::max(needs_[i].useful_s - wanted[i], 0.0);
  }
  const auto sum = [](const std::vector<double>& v) {
    return std::accumulate(v.begin(), v.end(), 0.0);
  };
  const double left = std::max(left_s(elapsed_s), 0.0);
  const std::vector<double> first = water_fill(wanted, left);
  const std::vector<double> second = water_fill(beyond, left - sum(first));
  double share = 0;
  for (std::size_t i : indices) share += first.at(i) + second.at(i);
  const double given = sum(first) + sum(second);
  const bool more_than_useful = given > 0 && given >= sum(wanted) + sum(beyond);
  return more_than_useful ? share * left / given : share;
}

double SweepBudget::expected_left_s(double elapsed_s) const {
  double wanted = 0;
  for (std::size_t i = 0; i < needs_.size(); ++i) {
    if (!settled_[i]) wanted += needs_[i].wanted_s;
  }
  return std::min(wanted, std::max(left_s(elapsed_s), 0.0));
}

GroupSchedule::GroupSchedule(Limits limits, const std::vector<double>& sample_cost_s,
                             std::uint64_t seed, EarlierRounds earlier)
    : limits_(limits),
      state_(sample_cost_s.size(), Stop::no),
      seed_(seed),
      first_round_(earlier.rounds),
      round_(earlier.rounds) {
  earlier.values.resize(sample_cost_s.size());
  for (std::size_t i = 0; i < sample_cost_s.size(); ++i) {
    Case c;
    c.values = std::move(earlier.values[i]);
    c.cost_s = std::max(sample_cost_s[i], 1e-9);
    c.need_s = expected_need_s(c);
    cases_.push_back(std::move(c));
  }
}

double GroupSchedule::expected_need_s(const Case& c) const {
  const auto count = static_cast<std::int64_t>(c.values.size());
  std::int64_t rounds = limits_.min_rounds - count;
  if (rounds <= 0) {
    // Widths shrink with the root of the count. A forecast from few values is no ground for a large
    // claim, so it looks at most three times as far ahead as there are values.
    const double width = relative_half_width(median_interval(c.values));
    const double ratio = std::min(width / limits_.target_relative_half_width, 2.0);
    rounds = static_cast<std::int64_t>(std::ceil(static_cast<double>(count) * (ratio * ratio - 1)));
  }
  rounds =
      std::clamp<std::int64_t>(rounds, 1, std::max<std::int64_t>(1, limits_.max_rounds - count));
  return c.cost_s * static_cast<double>(rounds);
}

std::vector<std::size_t> GroupSchedule::next_round() {
  std::vector<Stop> part = state_;
  if (round_ > first_round_) {
    const double left = limits_.time_s - spent_s_;
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (state_[i] == Stop::no && cases_[i].cost_s > left) state_[i] = Stop::budget;
    }
    part = affordable_now(left);
    while (std::ranges::count(part, Stop::no) == 0 && std::ranges::count(state_, Stop::no) > 0) {
      stop_dearest();
      part = affordable_now(left);
    }
  }
  return round_order(part, seed_, round_++);
}

std::vector<Stop> GroupSchedule::affordable_now(double left_s) const {
  std::vector<double> needs(cases_.size(), 0);
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    if (state_[i] == Stop::no) needs[i] = cases_[i].need_s;
  }
  const std::vector<double> given = water_fill(needs, left_s);
  std::vector<Stop> part = state_;
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    if (given[i] < cases_[i].cost_s && part[i] == Stop::no) part[i] = Stop::budget;
  }
  return part;
}

void GroupSchedule::stop_dearest() {
  std::size_t dearest = cases_.size();
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    if (state_[i] != Stop::no) continue;
    if (dearest == cases_.size() || cases_[i].cost_s > cases_[dearest].cost_s) dearest = i;
  }
  if (dearest < cases_.size()) state_[dearest] = Stop::budget;
}

void GroupSchedule::record(std::size_t index, double value, double cost_s) {
  Case& c = cases_.at(index);
  c.values.push_back(value);
  c.spent_s += cost_s;
  spent_s_ += cost_s;
  ++c.taken;
  c.cost_s = std::max(c.spent_s / static_cast<double>(c.taken), 1e-9);
  const StoppingRule rule({.target_relative_half_width = limits_.target_relative_half_width,
                           .budget_s = limits_.time_s,
                           .min_samples = limits_.min_rounds,
                           .max_samples = limits_.max_rounds});
  if (state_.at(index) != Stop::no) return;
  // The budget is the group's, and next_round() keeps it.
  state_[index] = rule.decide(c.values, 0);
  if (state_[index] == Stop::no) c.need_s = expected_need_s(c);
}

}  // namespace attnbench::measure
