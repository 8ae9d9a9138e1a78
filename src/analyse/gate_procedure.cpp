#include "analyse/gate_procedure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "analyse/holm.h"
#include "analyse/signed_rank.h"

namespace attnbench::analyse {
namespace {

using Values = std::vector<std::optional<double>>;

/// The test object of a cell; nothing when a launch gave no valid value.
std::optional<SignedRank> ranked(const Values& values) {
  std::vector<double> present;
  for (const std::optional<double>& value : values) {
    if (!value) return std::nullopt;
    present.push_back(*value);
  }
  Result<SignedRank> made = SignedRank::make(present);
  if (!made) return std::nullopt;
  return std::move(*made);
}

std::string missing_values(const Values& values) {
  const auto absent = std::ranges::count_if(
      values, [](const std::optional<double>& v) { return !v || !std::isfinite(*v); });
  return fmt::format("{} of {} launches gave no valid time", absent, values.size());
}

void set_invalid(CellOutcome& outcome, const Values& values, GateStage stage) {
  outcome = {};
  outcome.stage = stage;
  outcome.launches = values.size();
  outcome.low = -std::numeric_limits<double>::infinity();
  outcome.high = std::numeric_limits<double>::infinity();
  outcome.reason = missing_values(values);
}

/// Fewer launches make no promise of power: the interval's ends are too coarse.
constexpr std::size_t kDetectableFrom = 32;
/// From the two half widths to power 90%: what their own scatter costs, found by simulation.
constexpr double kDetectableFactor = 1.1;

std::optional<double> smallest_detectable(const SignedRank& rank, double margin_log, double level) {
  if (rank.count() < kDetectableFrom) return std::nullopt;
  const double low = rank.lower_bound(level);
  if (!std::isfinite(low)) return std::nullopt;
  return margin_log + kDetectableFactor * (rank.upper_bound(0.1) - low);
}

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Whether the cells' median spread is above the limit by more than chance: the exact sign test. A
/// spread from 24 launches is off by a sixth easily, and half of all gates on a machine just below
/// the limit would be lost to that.
bool median_is_above(double limit, const std::vector<double>& spreads) {
  constexpr double kLevel = 0.025;
  const std::size_t count = spreads.size();
  if (count == 0) return false;
  const auto above = static_cast<std::size_t>(
      std::ranges::count_if(spreads, [&](double spread) { return spread > limit; }));
  // P(so many or more of `count` above), each above with probability 1/2.
  double ways = 1, tail = 0;
  for (std::size_t k = count;; --k) {
    tail += ways;
    if (k == above) break;
    ways *= static_cast<double>(k) / static_cast<double>(count - k + 1);
  }
  // Of a few cells all have to be above: they cannot show more.
  return above == count || tail * std::exp2(-static_cast<double>(count)) <= kLevel;
}

std::string percent(double log_ratio) {
  return fmt::format("{:.1f}%", 100 * std::expm1(log_ratio));
}

}  // namespace

GateProcedure::GateProcedure(GateSettings settings, std::size_t cells, std::size_t control,
                             double spent_s)
    : settings_(settings),
      control_(control),
      screen_(cells),
      cell_seconds_(cells, 0.0),
      spent_s_(spent_s) {
  result_.cells.resize(cells);
  std::vector<std::size_t> all(cells);
  std::iota(all.begin(), all.end(), std::size_t{0});
  start(GateStage::screen, std::move(all), settings_.screen_launches);
  result_.screen_launches = settings_.screen_launches;
}

void GateProcedure::start(GateStage stage, std::vector<std::size_t> cells, int launches) {
  stage_ = stage;
  active_ = std::move(cells);
  launches_ = launches;
  launch_ = 0;
  fresh_.assign(active_.size(), {});
}

std::optional<LaunchRequest> GateProcedure::next() const {
  if (stage_ == GateStage::done) return std::nullopt;
  const bool controls = stage_ == GateStage::confirm;
  const double launch_s = stage_ == GateStage::screen
                              ? (launch_ > 0 ? screen_seconds_ / launch_ : 0.0)
                              : launch_seconds(active_, controls);
  return LaunchRequest{stage_,  launch_,  launches_,
                       active_, controls, launch_s * (launches_ - launch_)};
}

void GateProcedure::feed(const LaunchValues& values) {
  Series& series = stage_ == GateStage::screen ? screen_ : fresh_;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    series[i].push_back(i < values.cells.size() ? values.cells[i] : std::nullopt);
    if (stage_ == GateStage::screen && i < values.cell_seconds.size()) {
      cell_seconds_[i] += values.cell_seconds[i];
    }
  }
  (stage_ == GateStage::extra ? extra_spent_s_ : spent_s_) += values.elapsed_s;
  if (stage_ == GateStage::screen) screen_seconds_ += values.elapsed_s;
  if (stage_ == GateStage::confirm) {
    aa_.push_back(values.aa);
    positive_.push_back(values.positive);
  }
  if (++launch_ < launches_) return;
  if (stage_ == GateStage::screen) return finish_screen();
  if (stage_ == GateStage::confirm) return finish_confirm();
  finish_extra();
}

GateResult GateProcedure::result() const {
  GateResult result = result_;
  result.elapsed_s = spent_s_ + extra_spent_s_;
  return result;
}

// Screen

void GateProcedure::finish_screen() {
  const double margin_log = std::log1p(settings_.margin);
  std::vector<double> spreads;
  for (std::size_t i = 0; i < screen_.size(); ++i) {
    CellOutcome& outcome = result_.cells[i];
    const std::optional<SignedRank> rank = ranked(screen_[i]);
    if (!rank) {
      set_invalid(outcome, screen_[i], GateStage::screen);
      continue;
    }
    outcome.launches = rank->count();
    outcome.estimate = rank->estimate();
    outcome.low = rank->lower_bound(settings_.screen_level());
    outcome.high = rank->upper_bound(settings_.screen_level());
    outcome.p_value = rank->p_above(margin_log);
    const bool fast_enough = outcome.high < std::log1p(settings_.pass_bound()) &&
                             outcome.estimate < std::log1p(settings_.screen_estimate());
    outcome.verdict = fast_enough ? CellVerdict::pass : CellVerdict::unconfirmed;
    std::vector<double> values;
    for (const auto& value : screen_[i]) values.push_back(*value);
    spreads.push_back(robust_spread(std::move(values)));
  }
  result_.too_noisy = median_is_above(settings_.noisy_spread, spreads);
  result_.launch_spread = median_of(std::move(spreads));
  judge_mean();
  if (result_.too_noisy) {
    for (CellOutcome& cell : result_.cells) {
      if (cell.verdict != CellVerdict::unconfirmed) continue;
      cell.verdict = CellVerdict::inconclusive;
      cell.reason = "the machine is too noisy to confirm it";
    }
    stage_ = GateStage::done;
    return;
  }
  plan_confirm();
}

void GateProcedure::judge_mean() {
  // A machine on which nothing can be confirmed is not one to fail anybody on.
  if (!settings_.mean_test || result_.too_noisy) return;
  const std::size_t launches = screen_.front().size();
  std::vector<double> means;
  for (std::size_t launch = 0; launch < launches; ++launch) {
    double sum = 0;
    for (const Values& cell : screen_) {
      sum += cell[launch].value_or(std::numeric_limits<double>::quiet_NaN());
    }
    // A launch that lacks a cell would compare different means.
    if (std::isfinite(sum)) means.push_back(sum / static_cast<double>(screen_.size()));
  }
  const Result<SignedRank> rank = SignedRank::make(means);
  if (!rank) return;
  const double bound = std::log1p(settings_.mean_margin());
  result_.mean_tested = true;
  result_.mean_estimate = rank->estimate();
  result_.mean_low = rank->lower_bound(settings_.mean_alpha());
  result_.mean_p_value = rank->p_above(bound);
  result_.mean_failed = result_.mean_low > bound;
}

// Confirmation

double GateProcedure::standard_error() const {
  constexpr double kNormal95 = 1.645;
  std::vector<double> errors;
  for (const Values& cell : screen_) {
    const std::optional<SignedRank> rank = ranked(cell);
    if (!rank) continue;
    errors.push_back((rank->upper_bound(0.05) - rank->lower_bound(0.05)) / 2 / kNormal95);
  }
  return median_of(std::move(errors));
}

double GateProcedure::launch_seconds(const std::vector<std::size_t>& cells, bool controls) const {
  const double launches = std::max(1, settings_.screen_launches);
  const double in_cells = std::accumulate(cell_seconds_.begin(), cell_seconds_.end(), 0.0);
  // Process starts; and each control costs what its cell costs.
  double seconds = std::max(0.0, screen_seconds_ - in_cells);
  for (const std::size_t cell : cells) seconds += cell_seconds_[cell];
  if (controls) seconds += 2 * cell_seconds_[control_];
  return seconds / launches;
}

int GateProcedure::launches_within(double time_s, int wanted) const {
  const double launch_s = launch_seconds(active_, stage_ == GateStage::confirm);
  if (!(launch_s > 0)) return wanted;
  const double affordable = std::floor(std::max(0.0, time_s) / launch_s);
  if (affordable >= wanted) return wanted;
  return std::max(settings_.fewest_launches, static_cast<int>(affordable));
}

void GateProcedure::plan_confirm() {
  std::vector<std::size_t> survivors;
  for (std::size_t i = 0; i < result_.cells.size(); ++i) {
    if (result_.cells[i].verdict == CellVerdict::unconfirmed) survivors.push_back(i);
  }
  std::ranges::stable_sort(survivors, [&](std::size_t a, std::size_t b) {
    return result_.cells[a].estimate > result_.cells[b].estimate;
  });
  const auto most = static_cast<std::size_t>(settings_.most_confirmed);
  for (std::size_t k = most; k < survivors.size(); ++k) {
    result_.cells[survivors[k]].reason =
        fmt::format("{} cells survived the screen with larger slowdowns", most);
  }
  survivors.resize(std::min(survivors.size(), most));

  // So many that a slowdown at the bound of a pass lies 4.5 standard errors above the margin; from
  // screen data only, so that the number cannot follow the outcome.
  const double gap = std::log1p(settings_.pass_bound()) - std::log1p(settings_.margin);
  const double ratio = 4.5 * standard_error() / gap;
  const double wanted = std::ceil(settings_.screen_launches * ratio * ratio);
  const int launches =
      static_cast<int>(std::clamp(wanted, static_cast<double>(settings_.fewest_confirm_launches),
                                  static_cast<double>(settings_.most_confirm_launches)));
  start(GateStage::confirm, std::move(survivors), launches);
  launches_ = launches_within(settings_.budget_s - spent_s_, launches);
  result_.confirm_launches = launches_;
}

void GateProcedure::judge_confirmed(const Series& series, double alpha, double pass_level,
                                    GateStage stage) {
  const double margin_log = std::log1p(settings_.margin);
  std::vector<std::optional<SignedRank>> ranks;
  std::vector<double> p_values;
  for (const Values& values : series) {
    ranks.push_back(ranked(values));
    p_values.push_back(ranks.back() ? ranks.back()->p_above(margin_log) : 1.0);
  }
  const std::vector<HolmDecision> decisions = holm(p_values, alpha);
  for (std::size_t k = 0; k < active_.size(); ++k) {
    CellOutcome& outcome = result_.cells[active_[k]];
    if (!ranks[k]) {
      set_invalid(outcome, series[k], stage);
      continue;
    }
    const SignedRank& rank = *ranks[k];
    outcome = {};
    outcome.stage = stage;
    outcome.launches = rank.count();
    outcome.estimate = rank.estimate();
    outcome.low = rank.lower_bound(decisions[k].level);
    outcome.high = rank.upper_bound(pass_level);
    outcome.p_value = decisions[k].adjusted_p;
    outcome.detectable = smallest_detectable(
        rank, margin_log, alpha / static_cast<double>(std::max<std::size_t>(1, active_.size())));
    if (decisions[k].rejected) {
      outcome.verdict = CellVerdict::fail;
      outcome.reason = fmt::format("slower by {} at least, the margin is {}", percent(outcome.low),
                                   percent(margin_log));
    } else if (outcome.high < std::log1p(settings_.pass_bound())) {
      outcome.verdict = CellVerdict::pass;
    } else {
      outcome.verdict = CellVerdict::inconclusive;
      outcome.reason = fmt::format("may be slower by up to {}, not shown to be slower than {}",
                                   percent(outcome.high), percent(margin_log));
    }
  }
}

void GateProcedure::judge_controls() {
  const std::optional<SignedRank> aa = ranked(aa_);
  const std::optional<SignedRank> positive = ranked(positive_);
  const double margin_log = std::log1p(settings_.margin);
  result_.aa.ran = aa.has_value();
  result_.positive.ran = positive.has_value();
  result_.aa.launches = aa_.size();
  result_.positive.launches = positive_.size();
  if (aa) {
    ControlOutcome& control = result_.aa;
    control.estimate = aa->estimate();
    control.low = aa->lower_bound(settings_.aa_level);
    control.high = aa->upper_bound(settings_.aa_level);
    control.as_expected = control.low <= std::log1p(settings_.aa_tolerance) &&
                          control.high >= std::log1p(-settings_.aa_tolerance);
    control.detectable = smallest_detectable(*aa, margin_log, settings_.cells_alpha());
  }
  if (positive) {
    ControlOutcome& control = result_.positive;
    control.estimate = positive->estimate();
    control.low = positive->lower_bound(settings_.positive_level);
    control.high = positive->upper_bound(settings_.positive_level);
    control.as_expected = control.low > margin_log;
  }
}

void GateProcedure::finish_confirm() {
  judge_confirmed(fresh_, settings_.cells_alpha(), settings_.confirm_level(), GateStage::confirm);
  judge_controls();
  plan_extra();
}

// Extra

void GateProcedure::plan_extra() {
  stage_ = GateStage::done;
  if (!(settings_.extra_budget_s > 0)) return;
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < result_.cells.size(); ++i) {
    const CellVerdict verdict = result_.cells[i].verdict;
    if (verdict == CellVerdict::inconclusive || verdict == CellVerdict::unconfirmed) {
      open.push_back(i);
    }
  }
  if (open.empty()) return;
  std::ranges::stable_sort(open, [&](std::size_t a, std::size_t b) {
    return result_.cells[a].estimate > result_.cells[b].estimate;
  });
  open.resize(std::min(open.size(), static_cast<std::size_t>(settings_.most_confirmed)));
  start(GateStage::extra, std::move(open), 0);
  // As many as the second budget pays for: what is left is the hard part.
  launches_ = launches_within(settings_.extra_budget_s, 2 * settings_.most_confirm_launches);
  result_.extra_launches = launches_;
}

void GateProcedure::finish_extra() {
  // Half the level for a pass as well: these cells had one chance already.
  judge_confirmed(fresh_, settings_.extra_alpha(), settings_.confirm_level() / 2, GateStage::extra);
  stage_ = GateStage::done;
}

}  // namespace attnbench::analyse
