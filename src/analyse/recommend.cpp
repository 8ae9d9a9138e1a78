#include "analyse/recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analyse/curve.h"
#include "analyse/fit.h"
#include "record/csv.h"
#include "record/markdown.h"

namespace attnbench::analyse {
namespace {

constexpr double kZ = 1.959964;

std::optional<double> workspace_of(const SeriesPoint& point) {
  const Record& row = point.record;
  const auto bytes =
      row.workspace_peak_bytes ? row.workspace_peak_bytes : row.workspace_model_bytes;
  if (!bytes) return std::nullopt;
  return static_cast<double>(*bytes);
}

Curve time_curve(const Series& series) {
  std::vector<double> x, y;
  for (const SeriesPoint& point : series.points) {
    x.push_back(std::log(static_cast<double>(point.seq)));
    y.push_back(std::log(point.time.median_s));
  }
  return {std::move(x), std::move(y)};
}

void set_interval(Estimate& estimate, double log_sd) {
  estimate.time_interval = {estimate.time_s * std::exp(-kZ * log_sd),
                            estimate.time_s * std::exp(kZ * log_sd)};
}

/// The figures of the neighbour with the larger error; nothing when one has none.
void set_errors(Estimate& estimate, const SeriesPoint& low, const SeriesPoint& high) {
  if (!low.record.error_rel_l2 || !high.record.error_rel_l2) return;
  const bool first = *low.record.error_rel_l2 > *high.record.error_rel_l2;
  const Record& worse = first ? low.record : high.record;
  estimate.error = worse.error_rel_l2;
  estimate.error_mean_v = worse.error_mean_v;
}

void interpolate(Estimate& estimate, const Series& series, std::int64_t seq) {
  const auto above = std::ranges::lower_bound(series.points, seq, {}, &SeriesPoint::seq);
  if (above->seq == seq) {
    estimate.measured = true;
    estimate.time_s = above->time.median_s;
    estimate.time_interval = {above->time.low_s, above->time.high_s};
    set_errors(estimate, *above, *above);
    estimate.workspace_bytes = workspace_of(*above);
    return;
  }
  const SeriesPoint &low = *(above - 1), &high = *above;
  const auto n = static_cast<double>(seq);
  const double share = std::log(n / static_cast<double>(low.seq)) /
                       std::log(static_cast<double>(high.seq) / static_cast<double>(low.seq));
  const Curve curve = time_curve(series);
  const double log_time = curve.cubic(std::log(n));
  estimate.time_s = std::exp(log_time);
  // The choice of interpolation counts as an error of its own.
  const double choice = std::abs(log_time - curve.linear(std::log(n))) / kZ;
  set_interval(estimate,
               std::hypot((1 - share) * low.time.log_sd, share * high.time.log_sd, choice));
  set_errors(estimate, low, high);
  const auto less = workspace_of(low), more = workspace_of(high);
  if (less && more) {
    estimate.workspace_bytes =
        *less > 0 && *more > 0 ? std::exp((1 - share) * std::log(*less) + share * std::log(*more))
                               : std::max(*less, *more);
  }
}

/// By the fitted growth, started from the nearest measured length. False when there is no fit with
/// an interval.
bool extrapolate(Estimate& estimate, const Series& series, std::int64_t seq) {
  const Growth time = time_growth(series, nullptr), workspace = workspace_growth(series);
  if (!time.exponent || !time.exponent_interval) return false;
  const SeriesPoint& edge =
      seq < series.points.front().seq ? series.points.front() : series.points.back();
  const auto n = static_cast<double>(seq), from = static_cast<double>(edge.seq);
  const auto grown = [&](const Growth& growth) {
    return (growth.c + growth.a * std::pow(n, *growth.exponent)) /
           (growth.c + growth.a * std::pow(from, *growth.exponent));
  };
  estimate.extrapolated = true;
  estimate.time_s = edge.time.median_s * grown(time);
  const double spread = 0.5 * (time.exponent_interval->high - time.exponent_interval->low) / kZ;
  set_interval(estimate, std::hypot(edge.time.log_sd, spread * std::log(n / from)));
  set_errors(estimate, edge, edge);
  estimate.workspace_bytes = workspace_of(edge);
  if (estimate.workspace_bytes && workspace.exponent && workspace.a > 0) {
    *estimate.workspace_bytes *= grown(workspace);
  }
  return true;
}

std::string limit_reason(const Estimate& estimate, const Series& series, const Request& request) {
  if (request.max_error) {
    if (!estimate.error) return "has no error figure";
    if (!(*estimate.error <= *request.max_error)) {
      return fmt::format("error {:.2g}, above {}", *estimate.error,
                         format_real(*request.max_error));
    }
  }
  if (request.max_memory_bytes) {
    if (!estimate.workspace_bytes) return "has no workspace figure";
    if (!(*estimate.workspace_bytes <= *request.max_memory_bytes)) {
      return fmt::format("workspace {}, above {}", bytes_text(*estimate.workspace_bytes),
                         bytes_text(*request.max_memory_bytes));
    }
  }
  if (request.variants.empty() && series.axes.exactness == "different") {
    return "another function than softmax attention";
  }
  return "";
}

Estimate estimate_at(const std::vector<Series>& all, std::size_t index, const Request& request) {
  const Series& series = all[index];
  Estimate estimate;
  estimate.series = index;
  if (!request.variants.empty() &&
      std::ranges::find(request.variants, series.axes.variant) == request.variants.end()) {
    estimate.rejected = "not asked for";
    return estimate;
  }
  const std::int64_t least = series.points.front().seq, most = series.points.back().seq;
  if (request.seq >= least && request.seq <= most) {
    interpolate(estimate, series, request.seq);
  } else {
    estimate.rejected = least == most ? fmt::format("measured at {} only", least)
                                      : fmt::format("measured from {} to {}", least, most);
    for (const Gap& gap : series.gaps) {
      if (gap.seq == request.seq && !gap.reason.empty()) estimate.rejected += ": " + gap.reason;
    }
    if (!request.extrapolate) return estimate;
    if (!extrapolate(estimate, series, request.seq)) {
      estimate.rejected += ", too few lengths to extrapolate";
      return estimate;
    }
    estimate.rejected.clear();
  }
  estimate.rejected = limit_reason(estimate, series, request);
  return estimate;
}

}  // namespace

std::optional<double> Recommendation::margin() const {
  if (accepted.size() < 2) return std::nullopt;
  return accepted[1].time_s / accepted[0].time_s;
}

std::optional<Interval> Recommendation::margin_interval() const {
  if (accepted.size() < 2) return std::nullopt;
  const auto half = [](const Estimate& estimate) {
    return 0.5 * std::log(estimate.time_interval.high / estimate.time_interval.low);
  };
  const double spread = std::exp(std::hypot(half(accepted[0]), half(accepted[1])));
  return Interval{*margin() / spread, *margin() * spread};
}

Recommendation recommend(const std::vector<Series>& series, const Selected& among,
                         const Request& request) {
  Recommendation result;
  for (const std::size_t index : among) {
    Estimate estimate = estimate_at(series, index, request);
    (estimate.rejected.empty() ? result.accepted : result.rejected).push_back(std::move(estimate));
  }
  std::ranges::stable_sort(result.accepted, {}, &Estimate::time_s);
  return result;
}

}  // namespace attnbench::analyse
