#include "analyse/crossover.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "analyse/curve.h"
#include "analyse/random.h"

namespace attnbench::analyse {
namespace {

double median_in_place(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

/// The log ratio of two cases, and draws of how far it may be off.
class RatioDraw {
 public:
  RatioDraw(const SeriesPoint& a, const SeriesPoint& b)
      : estimate_(std::log(a.time.median_s / b.time.median_s)),
        log_sd_(std::hypot(a.time.log_sd, b.time.log_sd)) {
    for (const auto& [round, time_s] : a.rounds) {
      const auto other = b.rounds.find(round);
      if (other == b.rounds.end()) continue;
      log_a_.push_back(std::log(time_s));
      log_b_.push_back(std::log(other->second));
    }
    if (log_a_.size() < kLeastRounds) {
      log_a_.clear();
      log_b_.clear();
      return;
    }
    std::vector<double> all_a = log_a_, all_b = log_b_;
    centre_ = median_in_place(all_a) - median_in_place(all_b);
    // A bootstrap of few rounds spreads too little; Student's t over the normal quantile is by
    // how much.
    const boost::math::students_t_distribution<double> t(static_cast<double>(log_a_.size()) - 1);
    inflation_ = boost::math::quantile(t, 0.975) / 1.959964;
  }

  double estimate() const { return estimate_; }
  /// So far above 0 that no draw needs to be looked at.
  bool surely_positive() const { return estimate_ > 8 * log_sd_ && estimate_ > 0; }

  /// Rounds are drawn for both cases together: they share what disturbed them.
  double draw(Random& random) {
    if (log_a_.empty()) return estimate_ + log_sd_ * random.normal();
    drawn_a_.clear();
    drawn_b_.clear();
    for (std::size_t i = 0; i < log_a_.size(); ++i) {
      const std::size_t pick = random.index(log_a_.size());
      drawn_a_.push_back(log_a_[pick]);
      drawn_b_.push_back(log_b_[pick]);
    }
    const double drawn = median_in_place(drawn_a_) - median_in_place(drawn_b_);
    return estimate_ + inflation_ * (drawn - centre_);
  }

 private:
  static constexpr std::size_t kLeastRounds = 5;
  double estimate_;
  double log_sd_;
  std::vector<double> log_a_, log_b_, drawn_a_, drawn_b_;
  double centre_ = 0;
  double inflation_ = 1;
};

double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - std::floor(place)) * (sorted[high] - sorted[low]);
}

}  // namespace

std::string_view to_string(CrossoverVerdict verdict) {
  switch (verdict) {
    case CrossoverVerdict::crossover:
      return "crossover";
    case CrossoverVerdict::none_in_range:
      return "none in range";
    case CrossoverVerdict::uncertain:
      return "uncertain";
  }
  return "uncertain";
}

std::optional<Crossover> find_crossover(const std::vector<Series>& series, std::size_t a,
                                        std::size_t b, CrossoverOptions options) {
  std::vector<double> log_seq, ratio;
  std::vector<const SeriesPoint*> of_a, of_b;
  for (const SeriesPoint& point : series[a].points) {
    const SeriesPoint* other = series[b].at(point.seq);
    if (other == nullptr) continue;
    log_seq.push_back(std::log(static_cast<double>(point.seq)));
    of_a.push_back(&point);
    of_b.push_back(other);
  }
  if (log_seq.size() < 2) return std::nullopt;
  if (of_a.back()->time.median_s < of_b.back()->time.median_s) {
    std::swap(a, b);
    std::swap(of_a, of_b);
  }
  std::vector<RatioDraw> draws;
  for (std::size_t i = 0; i < log_seq.size(); ++i) {
    draws.emplace_back(*of_a[i], *of_b[i]);
    ratio.push_back(draws.back().estimate());
  }
  Crossover result;
  result.a = a;
  result.b = b;
  result.seq_min = of_a.front()->seq;
  result.seq_max = of_a.back()->seq;
  result.ratio_at_min = std::exp(ratio.front());
  result.ratio_at_max = std::exp(ratio.back());
  if (std::ranges::all_of(draws, [](const RatioDraw& draw) { return draw.surely_positive(); })) {
    result.verdict = CrossoverVerdict::none_in_range;
    return result;
  }
  const auto found = last_rise(Curve(log_seq, ratio), 1);

  Random random(options.seed);
  std::vector<double> crossings;
  for (int i = 0; i < options.replicates; ++i) {
    std::vector<double> drawn;
    for (RatioDraw& draw : draws) drawn.push_back(draw.draw(random));
    // From straight lines to as far beyond the cubic: the choice of interpolation is part of what
    // is not known between two lengths.
    const double share = random.uniform(0, 2);
    if (const auto rise = last_rise(Curve(log_seq, drawn), share)) crossings.push_back(*rise);
  }
  constexpr double kSure = 0.95;
  result.found_share =
      static_cast<double>(crossings.size()) / static_cast<double>(options.replicates);
  if (!found && result.found_share <= 1 - kSure) {
    result.verdict = CrossoverVerdict::none_in_range;
    return result;
  }
  if (found) result.seq = std::exp(*found);
  if (found && result.found_share >= kSure) result.verdict = CrossoverVerdict::crossover;
  if (found && !crossings.empty()) {
    std::ranges::sort(crossings);
    result.ci_low = std::exp(std::min(quantile(crossings, 0.025), *found));
    result.ci_high = std::exp(std::max(quantile(crossings, 0.975), *found));
  }
  return result;
}

std::vector<Crossover> find_crossovers(const std::vector<Series>& series,
                                       CrossoverOptions options) {
  std::vector<Crossover> all;
  for (std::size_t a = 0; a < series.size(); ++a) {
    for (std::size_t b = a + 1; b < series.size(); ++b) {
      if (series[a].problem != series[b].problem || series[a].swept != series[b].swept ||
          series[a].axes.threads != series[b].axes.threads) {
        continue;
      }
      if (const auto crossover = find_crossover(series, a, b, options)) all.push_back(*crossover);
    }
  }
  return all;
}

}  // namespace attnbench::analyse
