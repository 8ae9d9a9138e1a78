#include "analyse/compare_stats.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <utility>

#include "analyse/holm.h"
#include "analyse/moderated_variance.h"

namespace attnbench::analyse {
namespace {

/// A prior that counts for more than this multiple of a cell's own degrees of freedom would trust
/// in the independence of cells that were measured in the same minutes.
constexpr double kPriorFactor = 2;
/// Of log times: equal to the last digit is equal to the clock's resolution at best.
constexpr double kLeastSd = 1e-6;

/// The chance of more than t. One half and more is never significant, and not worked out.
double upper_tail(double t, double degrees) {
  if (!(t > 0)) return 1;
  const boost::math::students_t_distribution<double> student(degrees);
  return boost::math::cdf(boost::math::complement(student, t));
}

/// Degrees of freedom are rounded down to these steps, so that few quantiles serve many cells.
constexpr double kDegreesStep = 0.1;

/// Quantiles of Student distributions, kept.
class Quantiles {
 public:
  /// The t that is exceeded with probability `level`.
  double critical(double level, double degrees) {
    const auto [found, fresh] = known_.try_emplace({level, degrees}, 0.0);
    if (fresh) {
      const boost::math::students_t_distribution<double> student(degrees);
      found->second = boost::math::quantile(boost::math::complement(student, level));
    }
    return found->second;
  }

 private:
  std::map<std::pair<double, double>, double> known_;
};

/// A cell with enough base runs.
struct Judged {
  std::size_t index = 0;
  double base_mean = 0, head_mean = 0;
  std::vector<std::optional<double>> deviations;  ///< Of each base run from base_mean.
  std::size_t runs = 0;
  double run_share = 0;  ///< 1 / base runs + 1 / head runs.
};

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

std::optional<Judged> judged(const LogTimes& cell, std::size_t index) {
  std::vector<double> base;
  for (const auto& value : cell.base) {
    if (value) base.push_back(*value);
  }
  if (base.size() < kLeastBaseRuns || cell.head.empty()) return std::nullopt;
  Judged out;
  out.index = index;
  out.base_mean = mean_of(base);
  out.head_mean = mean_of(cell.head);
  out.runs = base.size();
  for (const auto& value : cell.base) {
    out.deviations.push_back(value ? std::optional(*value - out.base_mean) : std::nullopt);
  }
  out.run_share =
      1.0 / static_cast<double>(base.size()) + 1.0 / static_cast<double>(cell.head.size());
  return out;
}

/// How far each base run as a whole is off; 0 for a run without any of the cells.
struct RunEffects {
  std::vector<double> of_run;
  Variance variance;
};

RunEffects run_effects(const std::vector<Judged>& cells, std::size_t runs) {
  std::vector<double> effects(runs, 0);
  double used = 0;
  for (std::size_t k = 0; k < runs; ++k) {
    double sum = 0, count = 0;
    for (const Judged& cell : cells) {
      if (!cell.deviations[k]) continue;
      sum += *cell.deviations[k];
      ++count;
    }
    if (count == 0) continue;
    effects[k] = sum / count;
    ++used;
  }
  double squares = 0;
  for (const double effect : effects) squares += effect * effect;
  return {std::move(effects), {squares / (used - 1), used - 1}};
}

/// Variances of what the run effects leave over, one per cell.
std::vector<Variance> cell_variances(const std::vector<Judged>& cells,
                                     const std::vector<double>& effects, double degrees) {
  const auto count = static_cast<double>(cells.size());
  if (cells.size() < 2) return std::vector<Variance>(cells.size());
  std::vector<double> raw;
  for (const Judged& cell : cells) {
    double squares = 0;
    for (std::size_t k = 0; k < effects.size(); ++k) {
      if (cell.deviations[k]) squares += std::pow(*cell.deviations[k] - effects[k], 2);
    }
    // The effects were estimated from these very deviations.
    raw.push_back(squares / static_cast<double>(cell.runs - 1) * count / (count - 1));
  }
  std::vector<Variance> moderated = moderated_variances(raw, degrees, kPriorFactor * degrees);
  // All cells together have no more than this.
  for (Variance& each : moderated) each.degrees = std::min(each.degrees, (count - 1) * degrees);
  return moderated;
}

/// The sum of two independent variances (Welch and Satterthwaite).
Variance sum_of(const Variance& a, const Variance& b) {
  const double value = a.value + b.value;
  const auto part = [](const Variance& each) {
    return each.degrees > 0 ? each.value * each.value / each.degrees : 0.0;
  };
  const double parts = part(a) + part(b);
  return {value, parts > 0 ? value * value / parts : std::max(a.degrees, b.degrees)};
}

Prediction predict(double estimate, double sd, double degrees, double pass_level,
                   Quantiles& quantiles) {
  Prediction out;
  out.estimate = estimate;
  out.sd = std::max(sd, kLeastSd);
  out.degrees = std::max(std::floor(degrees / kDegreesStep + 1e-6) * kDegreesStep, 1.0);
  const double wide = quantiles.critical(0.025, out.degrees) * out.sd;
  out.low = estimate - wide;
  out.high = estimate + wide;
  out.upper = estimate + quantiles.critical(pass_level, out.degrees) * out.sd;
  return out;
}

/// The slowdown, as a log ratio, that a test at `level` finds in nine of ten cases.
double detectable(const Prediction& cell, double log_margin, double level, Quantiles& quantiles) {
  return log_margin +
         (quantiles.critical(level, cell.degrees) + quantiles.critical(0.1, cell.degrees)) *
             cell.sd;
}

void decide(std::vector<Prediction*>& cells, const CompareSettings& settings,
            Quantiles& quantiles) {
  const double margin = std::log1p(settings.margin);
  std::vector<double> slower, faster;
  for (const Prediction* cell : cells) {
    slower.push_back(upper_tail((cell->estimate - margin) / cell->sd, cell->degrees));
    faster.push_back(upper_tail(-cell->estimate / cell->sd, cell->degrees));
  }
  const auto are_slower = holm(slower, settings.cells_alpha());
  const auto are_faster = holm(faster, settings.cells_alpha());
  const double strictest =
      settings.cells_alpha() / static_cast<double>(std::max<std::size_t>(cells.size(), 1));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i]->p_slower = are_slower[i].adjusted_p;
    cells[i]->slower = are_slower[i].rejected;
    cells[i]->p_faster = are_faster[i].adjusted_p;
    cells[i]->faster = are_faster[i].rejected;
    cells[i]->within_bound = cells[i]->upper < std::log1p(settings.pass_bound());
    cells[i]->detectable = detectable(*cells[i], margin, strictest, quantiles);
  }
}

/// Of the mean over the judged cells. Their runs' means vary with K - 1 degrees of freedom,
/// whatever the cells have in common.
Prediction predict_mean(const std::vector<Judged>& cells, const Variance& run,
                        const CompareSettings& settings, Quantiles& quantiles) {
  double estimate = 0, share = 0;
  const auto count = static_cast<double>(cells.size());
  for (const Judged& cell : cells) {
    estimate += (cell.head_mean - cell.base_mean) / count;
    share = std::max(share, cell.run_share);
  }
  Prediction mean = predict(estimate, std::sqrt(run.value * share), run.degrees,
                            settings.pass_level(), quantiles);
  const double margin = std::log1p(settings.mean_margin());
  mean.p_slower = upper_tail((estimate - margin) / mean.sd, mean.degrees);
  mean.p_faster = upper_tail(-estimate / mean.sd, mean.degrees);
  mean.slower = mean.p_slower <= settings.mean_alpha();
  mean.faster = mean.p_faster <= settings.mean_alpha();
  // Judged cell by cell; the mean can only add a failure.
  mean.within_bound = true;
  mean.detectable = detectable(mean, margin, settings.mean_alpha(), quantiles);
  return mean;
}

double median_sd(std::vector<Variance> variances) {
  if (variances.empty()) return 0;
  std::ranges::sort(variances, {}, &Variance::value);
  return std::sqrt(variances[variances.size() / 2].value);
}

}  // namespace

Predictions predict_cells(std::span<const LogTimes> cells, const CompareSettings& settings) {
  Predictions out;
  out.cells.resize(cells.size());
  std::vector<Judged> good;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (auto cell = judged(cells[i], i)) good.push_back(std::move(*cell));
  }
  if (good.empty()) return out;
  const RunEffects effects = run_effects(good, cells.front().base.size());
  const Variance& run = effects.variance;
  std::size_t fewest = good.front().runs;
  for (const Judged& cell : good) fewest = std::min(fewest, cell.runs);
  const auto degrees = static_cast<double>(fewest - 1);
  const std::vector<Variance> own = cell_variances(good, effects.of_run, degrees);
  out.run_sd = std::sqrt(run.value);
  out.cell_sd = median_sd(own);

  Quantiles quantiles;
  std::vector<Prediction*> predicted;
  for (std::size_t i = 0; i < good.size(); ++i) {
    const LogTimes& given = cells[good[i].index];
    const Variance spread = sum_of(run, own[i]);
    const auto heads = static_cast<double>(given.head.size());
    const double variance =
        std::max(spread.value, std::pow(given.base_sd, 2)) / static_cast<double>(good[i].runs) +
        std::max(spread.value, std::pow(given.head_sd, 2)) / heads;
    auto& cell = out.cells[good[i].index];
    cell = predict(good[i].head_mean - good[i].base_mean, std::sqrt(variance), spread.degrees,
                   settings.pass_level(), quantiles);
    predicted.push_back(&*cell);
  }
  decide(predicted, settings, quantiles);
  if (good.size() >= 2) out.mean = predict_mean(good, run, settings, quantiles);
  return out;
}

}  // namespace attnbench::analyse
