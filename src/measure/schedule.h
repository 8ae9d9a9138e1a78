// Who gets how much of a sweep's time, and which case is sampled next. Pure: time comes in as
// numbers, so that every rule is tested on a simulated clock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "measure/policy.h"

namespace attnbench::measure {

/// Max-min fair division: everybody gets min(need, level), the level being the one at which all of
/// `total` is given out, or at which every need is met.
std::vector<double> water_fill(std::span<const double> needs, double total);

/// What a case is expected to cost, in seconds.
struct CaseNeed {
  double minimum_s = 0;  ///< Verification and a single sample.
  double wanted_s = 0;   ///< The same with enough rounds for a usual interval.
  double useful_s = 0;   ///< The same with enough rounds for a wide one.
};

/// Divides the time of a sweep among its cases. What a finished case left unspent is there for
/// those that follow.
class SweepBudget {
 public:
  SweepBudget(double budget_s, std::vector<CaseNeed> needs);
  /// A better estimate, learnt while the sweep runs.
  void revise(std::size_t index, CaseNeed need) { needs_.at(index) = need; }
  /// The case is done, failed or skipped: it needs no more time.
  void settle(std::size_t index) { settled_.at(index) = true; }
  /// A settled case needs time again.
  void reopen(std::size_t index) { settled_.at(index) = false; }
  /// Whether the minimum of this case still fits, after those of all unsettled cheaper ones: when
  /// not everything can run, most cases do.
  bool affordable(std::size_t index, double elapsed_s) const;
  /// Seconds for these cases together, out of what is left at `elapsed_s`: their fair part of what
  /// is wanted; when more is left than wanted, also of what would be useful beyond; and when there
  /// is even more, of the rest in proportion.
  double share_s(std::span<const std::size_t> indices, double elapsed_s) const;
  double left_s(double elapsed_s) const { return budget_s_ - elapsed_s; }
  /// Seconds until all cases should be done: what they want, or what is left where that is less.
  double expected_left_s(double elapsed_s) const;

 private:
  double budget_s_;
  std::vector<CaseNeed> needs_;
  std::vector<bool> settled_;
};

/// What was measured of a group's cases on an earlier visit.
struct EarlierRounds {
  std::vector<std::vector<double>> values;  ///< Of each case; they count towards its limits.
  int rounds = 0;                           ///< The number of the first round from now on.
};

/// Rounds of one group of cases: who takes part in the next round, and when each case stops. A case
/// gives one value per round. Short of time, all cases get equally much of it, up to what each is
/// expected to need: what precise cases leave over goes to those with wide intervals.
class GroupSchedule {
 public:
  struct Limits {
    double target_relative_half_width = 0.02;
    std::int64_t min_rounds = 7;
    std::int64_t max_rounds = 200;
    double time_s = 10;  ///< For all cases together.
  };
  /// `sample_cost_s`: what one sample of each case will cost, by its pilot.
  GroupSchedule(Limits limits, const std::vector<double>& sample_cost_s, std::uint64_t seed,
                EarlierRounds earlier = {});

  /// The cases to sample now, in this order. The first round has every case, whatever the time.
  /// Empty when all have stopped.
  std::vector<std::size_t> next_round();
  /// A sample: its value (seconds per iteration) and what it cost, all in all.
  void record(std::size_t index, double value, double cost_s);
  /// Takes out a case that failed.
  void drop(std::size_t index) { state_.at(index) = Stop::budget; }

  Stop state(std::size_t index) const { return state_.at(index); }
  std::span<const double> values(std::size_t index) const { return cases_.at(index).values; }
  /// What a sample of a case costs, by the latest knowledge.
  double sample_cost_s(std::size_t index) const { return cases_.at(index).cost_s; }
  /// The number of the next round.
  int rounds() const { return round_; }
  double spent_s() const { return spent_s_; }

 private:
  struct Case {
    std::vector<double> values;
    double cost_s = 0;  ///< Of one sample, by the latest knowledge.
    double spent_s = 0;
    std::int64_t taken = 0;  ///< Samples, on this visit.
    double need_s = 0;       ///< Expected until it is precise.
  };
  double expected_need_s(const Case& c) const;
  /// The states, with those that cannot pay for a sample out of their part of the time marked too:
  /// they sit out until others have left.
  std::vector<Stop> affordable_now(double left_s) const;
  void stop_dearest();

  Limits limits_;
  std::vector<Case> cases_;
  std::vector<Stop> state_;
  std::uint64_t seed_;
  int first_round_ = 0;
  int round_ = 0;
  double spent_s_ = 0;
};

}  // namespace attnbench::measure
