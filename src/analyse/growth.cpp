#include "analyse/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace attnbench::analyse {
namespace {

/// A power of the cost within this of 1 is agreement: cost functions count operations, and the
/// rate of operations moves by about this much over a sweep.
constexpr double kAgreement = 0.1;
/// An interval wider than this cannot confirm anything.
constexpr double kTooWide = 0.5;
/// How far the growth of a cost function may be from the declared law at the longest lengths.
constexpr double kAsymptote = 0.3;

void add_note(std::string& note, const std::string& text) {
  if (!note.empty()) note += "; ";
  note += text;
}

std::vector<FitPoint> fit_points(const GrowthInput& input) {
  std::vector<FitPoint> points;
  for (const GrowthPoint& point : input.points) {
    points.push_back({point.n, point.value, point.log_sd});
  }
  return points;
}

std::optional<Interval> interval_of(const PowerFit& fit) {
  if (!fit.ci_low || !fit.ci_high) return std::nullopt;
  return Interval{*fit.ci_low, *fit.ci_high};
}

/// Compares an exponent with the one that is expected.
Verdict judge(const std::optional<Interval>& interval, double expected) {
  if (!interval) return Verdict::undetermined;
  const double low = interval->low - expected, high = interval->high - expected;
  if (low > kAgreement) return Verdict::slower;
  if (high < -kAgreement) return Verdict::faster;
  return high - low > kTooWide ? Verdict::undetermined : Verdict::agrees;
}

bool enough(const Growth& growth) {
  return growth.lengths >= kLeastLengths && growth.n_max >= kLeastFactor * growth.n_min;
}

std::vector<LocalExponent> local_exponents(const std::vector<GrowthPoint>& points) {
  constexpr double kZ = 1.959964;
  std::vector<LocalExponent> all;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const GrowthPoint &low = points[i], &high = points[i + 1];
    const double gap = std::log(high.n / low.n);
    const double exponent = std::log(high.value / low.value) / gap;
    const double half = kZ * std::hypot(low.log_sd, high.log_sd) / gap;
    all.push_back({low.n, high.n, exponent, {exponent - half, exponent + half}});
  }
  return all;
}

/// The fitted exponent of the law's own best fit: what fit_power finds on values that follow the
/// law exactly. The power itself, except for N log N and its like.
double effective_exponent(std::vector<FitPoint> points, const RankedLaw& ranked) {
  if (ranked.law.log_power == 0) return ranked.law.power;
  const double longest = ranked.law.log_value(points.back().x);
  for (FitPoint& point : points) {
    point.y = ranked.c + ranked.a * std::exp(ranked.law.log_value(point.x) - longest);
  }
  const auto fit = fit_power(points);
  return fit ? fit->p : ranked.law.power;
}

/// Why the best-ranked law cannot be declared; empty when it can.
std::string doubt(const Growth& growth, const std::vector<FitPoint>& points) {
  const RankedLaw& best = growth.ranking.front();
  if (!(best.weight > kDeclaredWeight)) return "no law has a weight above 0.95";
  const bool constant = best.law.constant();
  const auto wide = fit_power(points, {.intercept = !constant, .confidence = 0.99});
  const auto narrow = fit_power(points, {.intercept = !constant, .confidence = 0.9});
  if (!wide || !wide->ci_low || !narrow->ci_low) return "too few points";
  if (constant) {
    constexpr double kFlat = 0.2;
    return *narrow->ci_low > -kFlat && *narrow->ci_high < kFlat
               ? ""
               : "the spread is too large to call it constant";
  }
  // The residual of exact numbers is rounding; so is the width of their interval.
  constexpr double kRounding = 1e-3;
  const double exponent = effective_exponent(points, best);
  if (*wide->ci_low - kRounding > exponent || *wide->ci_high + kRounding < exponent) {
    return fmt::format("the best law {} is not what a free exponent finds", best.law.text());
  }
  for (const RankedLaw& other : growth.ranking) {
    if (other.law == best.law || other.law.constant()) continue;
    const double rival = effective_exponent(points, other);
    if (*narrow->ci_low < rival && rival < *narrow->ci_high) {
      return fmt::format("the exponent's interval does not tell {} from {}", best.law.text(),
                         other.law.text());
    }
  }
  return "";
}

void rank(Growth& growth, const std::vector<FitPoint>& points,
          const std::optional<GrowthLaw>& declared) {
  std::vector<GrowthLaw> laws = candidate_laws();
  if (declared && std::ranges::find(laws, *declared) == laws.end()) laws.push_back(*declared);
  growth.ranking = rank_laws(points, laws);
  if (growth.ranking.empty()) return;
  growth.law_weight = growth.ranking.front().weight;
  if (!enough(growth)) return;
  const std::string reason = doubt(growth, points);
  if (reason.empty()) {
    growth.law = growth.ranking.front().law.text();
  } else {
    add_note(growth.note, reason);
  }
}

/// Fits the exponent; a series that does not grow has none to tell from its intercept, so the
/// intercept is left out there.
void fit_exponent(Growth& growth, const std::vector<FitPoint>& points) {
  const bool flat = !growth.ranking.empty() && growth.ranking.front().law.constant();
  const auto fit = fit_power(points, {.intercept = !flat});
  if (!fit) return;
  growth.exponent = fit->p;
  growth.exponent_interval = interval_of(*fit);
  growth.c = fit->c;
  growth.a = fit->a;
  growth.curve_at_low = fit->at_low;
  growth.curve_at_high = fit->at_high;
  growth.residual_rms = fit->residual_rms;
}

/// The p of c + a N^p through the three longest lengths: growth that a constant part does not hide.
/// Nothing where the cost does not rise over both gaps.
std::optional<double> last_growing_exponent(const std::vector<FitPoint>& points,
                                            const std::vector<double>& cost) {
  const std::size_t n = points.size();
  if (n < 3 || !(cost[n - 1] > cost[n - 2]) || !(cost[n - 2] > cost[n - 3])) return std::nullopt;
  const double rise = (cost[n - 1] - cost[n - 2]) / (cost[n - 2] - cost[n - 3]);
  const double long_gap = points[n - 1].x / points[n - 2].x;
  const double short_gap = points[n - 3].x / points[n - 2].x;
  double low = 1e-3, high = kMostExponent;
  for (int i = 0; i < 50; ++i) {
    const double p = 0.5 * (low + high);
    const double ratio = (std::pow(long_gap, p) - 1) / (1 - std::pow(short_gap, p));
    (ratio < rise ? low : high) = p;
  }
  return 0.5 * (low + high);
}

std::optional<CostAgreement> fit_cost(const std::vector<FitPoint>& points, const CostCurve& cost) {
  constexpr double kLeastRange = 1.5;
  if (cost.values.size() != points.size() || points.size() < 3) return std::nullopt;
  if (!std::ranges::all_of(cost.values, [](double v) { return v > 0 && std::isfinite(v); })) {
    return std::nullopt;
  }
  const auto [least, most] = std::ranges::minmax(cost.values);
  if (most < kLeastRange * least) return std::nullopt;
  const BasisFit basis = fit_basis(points, cost.values);
  CostAgreement agreement;
  agreement.column = cost.name;
  agreement.c = basis.c;
  agreement.a = basis.a;
  double squares = 0;
  for (const double r : basis.residuals) {
    squares += r * r;
    agreement.residual_max = std::max(agreement.residual_max, std::abs(r));
  }
  agreement.residual_rms = std::sqrt(squares / static_cast<double>(points.size()));
  std::vector<FitPoint> against = points;
  for (std::size_t i = 0; i < against.size(); ++i) against[i].x = cost.values[i];
  if (const auto fit = fit_power(against)) {
    agreement.power = fit->p;
    agreement.power_interval = interval_of(*fit);
  }
  const std::size_t last = points.size() - 1;
  agreement.last_exponent = std::log(cost.values[last] / cost.values[last - 1]) /
                            std::log(points[last].x / points[last - 1].x);
  agreement.last_growing_exponent = last_growing_exponent(points, cost.values);
  agreement.verdict = judge(agreement.power_interval, 1);
  return agreement;
}

/// The power of value = c + a * law^q, or for a law that is constant the exponent of N; each with
/// what it is where the law holds.
struct LawPower {
  std::optional<Interval> interval;
  double expected = 1;
};

LawPower power_of_law(const std::vector<FitPoint>& points, const GrowthLaw& law) {
  LawPower power;
  std::optional<PowerFit> fit;
  if (law.constant()) {
    power.expected = 0;
    fit = fit_power(points, {.intercept = false});
  } else {
    std::vector<FitPoint> against = points;
    for (FitPoint& point : against) point.x = std::exp(law.log_value(point.x));
    fit = fit_power(against);
  }
  if (fit) power.interval = interval_of(*fit);
  return power;
}

/// Says what a verdict rests on that is no agreement.
void explain(Growth& growth, const std::string& base, const std::optional<Interval>& power) {
  if (growth.verdict == Verdict::agrees) return;
  if (!power) {
    add_note(growth.note, "no interval to judge the growth by");
    return;
  }
  add_note(growth.note,
           fmt::format("grows as {} to the power of {}{:.2f} to {}{:.2f}{}", base,
                       power->low <= kLeastExponent ? "<" : "", power->low,
                       power->high >= kMostExponent ? ">" : "", power->high,
                       growth.verdict == Verdict::undetermined ? ": too wide to tell" : ""));
}

void reach_verdict(Growth& growth, const std::vector<FitPoint>& points,
                   const std::optional<GrowthLaw>& declared) {
  if (!enough(growth)) {
    growth.law = kUndetermined;
    if (growth.cost) growth.cost->verdict = Verdict::undetermined;
    add_note(growth.note, fmt::format("{} length{}{}; a law needs {} over a factor of {}",
                                      growth.lengths, growth.lengths == 1 ? "" : "s",
                                      growth.lengths > 1 ? fmt::format(" over a factor of {:.3g}",
                                                                       growth.n_max / growth.n_min)
                                                         : "",
                                      kLeastLengths, kLeastFactor));
    return;
  }
  if (!declared) {
    add_note(growth.note, growth.declared.empty()
                              ? "no growth law is declared"
                              : fmt::format("'{}' is no growth law", growth.declared));
    return;
  }
  if (growth.cost) {
    const std::size_t last = points.size() - 1;
    const double promised = declared->local_exponent(points[last - 1].x, points[last].x);
    const auto& growing = growth.cost->last_growing_exponent;
    if (std::abs(growth.cost->last_exponent - promised) <= kAsymptote ||
        (growing && std::abs(*growing - promised) <= kAsymptote)) {
      growth.verdict = growth.cost->verdict;
      const std::string promised_law = declared->text();
      if (growth.verdict == Verdict::agrees && growth.law != kUndetermined &&
          growth.law != promised_law) {
        add_note(growth.note,
                 fmt::format("agrees with the declared cost, which grows as {} at the longest "
                             "lengths; over all of them {} fits best",
                             promised_law, growth.law));
      }
      explain(growth, "the declared cost", growth.cost->power_interval);
      return;
    }
    add_note(growth.note, fmt::format("the cost function itself grows as N^{:.2f} at the longest "
                                      "lengths, so the law is judged alone",
                                      growth.cost->last_exponent));
  }
  const LawPower power = power_of_law(points, *declared);
  growth.verdict = judge(power.interval, power.expected);
  explain(growth, declared->constant() ? "N" : declared->text(), power.interval);
}

/// Steps of the residuals, against the cost's fit where it describes the curve better than a power.
void find_breaks(Growth& growth, const std::vector<FitPoint>& points,
                 const std::vector<double>& residuals) {
  constexpr double kLeastJump = 0.25;  // In the local exponent.
  if (points.size() < 4) return;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const double gap = std::log(points[i + 1].x / points[i].x);
    const double step = residuals[i + 1] - residuals[i];
    const double noise = std::hypot(points[i].log_sd, points[i + 1].log_sd);
    // A step tilts the fit; what is left of it is compared with the steps elsewhere.
    std::vector<double> others;
    for (std::size_t l = 0; l + 1 < points.size(); ++l) {
      if (l != i) others.push_back(residuals[l + 1] - residuals[l]);
    }
    std::ranges::sort(others);
    const std::size_t count = others.size();
    const double usual = 0.5 * (others[(count - 1) / 2] + others[count / 2]);
    double spread = 0;
    for (const double other : others) spread += std::abs(other - usual);
    spread /= static_cast<double>(count);
    const double excess = step - usual;
    if (std::abs(excess) > std::max({kLeastJump * gap, 4 * noise, 4 * spread})) {
      growth.breaks.push_back({points[i].x, points[i + 1].x, std::exp(excess), ""});
    }
  }
}

std::vector<double> best_residuals(const Growth& growth, const std::vector<FitPoint>& points,
                                   const GrowthInput& input) {
  if (growth.cost && growth.cost->residual_rms < growth.residual_rms) {
    for (const CostCurve& cost : input.costs) {
      if (cost.name == growth.cost->column) return fit_basis(points, cost.values).residuals;
    }
  }
  const auto fit = fit_power(points);
  return fit ? fit->residuals : std::vector<double>(points.size(), 0);
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::agrees:
      return "agrees";
    case Verdict::faster:
      return "faster";
    case Verdict::slower:
      return "slower";
    case Verdict::undetermined:
      return kUndetermined;
  }
  return kUndetermined;
}

std::vector<RankedLaw> Growth::candidates() const {
  std::vector<RankedLaw> likely;
  double total = 0;
  for (const RankedLaw& entry : ranking) {
    likely.push_back(entry);
    total += entry.weight;
    if (total > kDeclaredWeight) break;
  }
  return likely;
}

Growth analyse_growth(const GrowthInput& input) {
  Growth growth;
  growth.declared = input.declared;
  growth.lengths = input.points.size();
  if (input.points.empty()) {
    growth.note = "nothing was measured";
    return growth;
  }
  growth.n_min = input.points.front().n;
  growth.n_max = input.points.back().n;
  const std::vector<FitPoint> points = fit_points(input);
  const std::optional<GrowthLaw> declared = GrowthLaw::parse(input.declared);
  growth.local = local_exponents(input.points);
  rank(growth, points, declared);
  fit_exponent(growth, points);
  for (const CostCurve& cost : input.costs) {
    auto agreement = fit_cost(points, cost);
    if (agreement && (!growth.cost || agreement->residual_rms < growth.cost->residual_rms)) {
      growth.cost = std::move(agreement);
    }
  }
  reach_verdict(growth, points, declared);
  find_breaks(growth, points, best_residuals(growth, points, input));
  return growth;
}

}  // namespace attnbench::analyse
