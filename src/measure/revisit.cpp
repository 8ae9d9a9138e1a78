#include "measure/revisit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "measure/policy.h"

namespace attnbench::measure {
namespace {

/// A forecast from few values is no ground for a large claim: at most this many times as many more.
constexpr double kFurthest = 3;

class VisitPlanner {
 public:
  VisitPlanner(std::span<const RevisitCase> cases, std::span<const double> batch_setup_s,
               const RevisitLimits& limits)
      : cases_(cases), batch_setup_s_(batch_setup_s), limits_(limits) {
    for (const RevisitCase& c : cases) {
      const double width = relative_half_width(median_interval(c.values));
      const bool may_go_on = static_cast<std::int64_t>(c.values.size()) < limits.max_rounds;
      widths_.push_back(may_go_on ? width : 0);
    }
  }

  std::vector<Visit> plan() {
    drop_what_never_fits();
    const double level = lowest_level();
    if (!(total_s(level) > 0)) return {};
    std::vector<Visit> visits = visits_at(level);
    // Forecasts are rough, and precise cases stop by themselves: time that is there may be used.
    double setup_s = 0, sampling_s = 0;
    for (const Visit& visit : visits) {
      sampling_s += visit.time_s;
      setup_s += setup_of(visit);
    }
    const double surplus = std::max(1.0, (limits_.time_s - setup_s) / sampling_s);
    for (Visit& visit : visits) visit.time_s *= surplus;
    return visits;
  }

 private:
  /// Rounds until the interval is as narrow as `level`; 0 when it is.
  std::int64_t rounds_to(std::size_t i, double level) const {
    const double width = widths_[i];
    if (!(width > level)) return 0;
    const auto count = static_cast<std::int64_t>(cases_[i].values.size());
    std::int64_t rounds = limits_.min_rounds - count;
    if (std::isfinite(width)) {
      const double ratio = width / level;
      const double more = static_cast<double>(count) * std::min(ratio * ratio - 1, kFurthest);
      rounds = std::max(rounds, static_cast<std::int64_t>(std::ceil(more)));
    }
    return std::clamp<std::int64_t>(rounds, 1,
                                    std::max<std::int64_t>(1, limits_.max_rounds - count));
  }

  double sampling_s(std::size_t i, double level) const {
    return cases_[i].sample_cost_s * static_cast<double>(rounds_to(i, level));
  }

  double setup_of(const Visit& visit) const {
    double setup_s = batch_setup_s_[visit.batch];
    for (const std::size_t i : visit.cases) setup_s += cases_[i].setup_s;
    return setup_s;
  }

  double total_s(double level) const {
    double together_s = 0;
    std::vector<bool> open(batch_setup_s_.size(), false);
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (!(widths_[i] > level)) continue;
      together_s += cases_[i].setup_s + sampling_s(i, level);
      if (!open[cases_[i].batch]) together_s += batch_setup_s_[cases_[i].batch];
      open[cases_[i].batch] = true;
    }
    return together_s;
  }

  /// Takes out the cases whose first round does not fit, and as many of those without an interval
  /// as need be, the dearest first.
  void drop_what_never_fits() {
    constexpr double kInfinite = std::numeric_limits<double>::max();
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      const RevisitCase& c = cases_[i];
      if (batch_setup_s_[c.batch] + c.setup_s + c.sample_cost_s > limits_.time_s) widths_[i] = 0;
    }
    while (total_s(kInfinite) > limits_.time_s) {
      std::size_t dearest = cases_.size();
      for (std::size_t i = 0; i < cases_.size(); ++i) {
        if (std::isfinite(widths_[i])) continue;
        const bool dearer =
            dearest == cases_.size() || sampling_s(i, kInfinite) > sampling_s(dearest, kInfinite);
        if (dearer) dearest = i;
      }
      if (dearest == cases_.size()) return;
      widths_[dearest] = 0;
    }
  }

  /// The narrowest width, not under the target, that all can be brought to within the time.
  double lowest_level() const {
    double high = limits_.target_relative_half_width;
    if (total_s(high) <= limits_.time_s) return high;
    double low = high;
    for (const double width : widths_) {
      if (std::isfinite(width)) high = std::max(high, width);
    }
    // A need is 0 at the width itself, so all of `high` is affordable.
    constexpr int kHalvings = 50;
    for (int i = 0; i < kHalvings; ++i) {
      const double middle = std::sqrt(low * high);
      (total_s(middle) <= limits_.time_s ? high : low) = middle;
    }
    return high;
  }

  std::vector<Visit> visits_at(double level) const {
    std::vector<Visit> visits(batch_setup_s_.size());
    std::vector<double> widest(visits.size(), 0);
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (!(widths_[i] > level)) continue;
      const std::size_t batch = cases_[i].batch;
      Visit& visit = visits[batch];
      visit.batch = batch;
      visit.cases.push_back(i);
      visit.time_s += sampling_s(i, level);
      visit.target_relative_half_width = level;
      widest[batch] = std::max(widest[batch], widths_[i]);
    }
    std::erase_if(visits, [](const Visit& visit) { return visit.cases.empty(); });
    std::ranges::stable_sort(visits, std::greater<>{},
                             [&](const Visit& visit) { return widest[visit.batch]; });
    return visits;
  }

  std::span<const RevisitCase> cases_;
  std::span<const double> batch_setup_s_;
  RevisitLimits limits_;
  std::vector<double> widths_;  ///< 0 of cases that are left alone.
};

}  // namespace

std::vector<Visit> plan_visits(std::span<const RevisitCase> cases,
                               std::span<const double> batch_setup_s, const RevisitLimits& limits) {
  return VisitPlanner(cases, batch_setup_s, limits).plan();
}

}  // namespace attnbench::measure
