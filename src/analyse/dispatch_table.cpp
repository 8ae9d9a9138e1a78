#include "analyse/dispatch_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "analyse/curve.h"
#include "record/schema.h"

namespace attnbench::analyse {
namespace {

/// Values of the key axes, numbers ordered by size.
std::vector<std::int64_t> key_of(const CaseAxes& axes) {
  return {axes.batch, axes.heads_q,        axes.heads_kv, axes.dim_qk,
          axes.dim_v, axes.causal ? 1 : 0, axes.threads};
}

double log_time(const Series& series, double log_seq) {
  std::vector<double> x, y;
  for (const SeriesPoint& point : series.points) {
    x.push_back(std::log(static_cast<double>(point.seq)));
    y.push_back(std::log(point.time.median_s));
  }
  const double inside = std::clamp(log_seq, x.front(), x.back());
  return Curve(std::move(x), std::move(y)).cubic(inside);
}

/// The last length that belongs to the first of two neighbouring entries.
std::int64_t boundary(const std::vector<Series>& series, const DispatchEntry& low,
                      const DispatchEntry& high) {
  double below = std::log(static_cast<double>(low.seq));
  double above = std::log(static_cast<double>(high.seq));
  double place = 0.5 * (below + above);
  if (low.series != high.series) {
    // The first wins at its own length and the second at its own, so they meet in between, unless
    // a limit decided one of them: then the change is where the limit's own length is.
    const auto lead = [&](double x) {
      return log_time(series[high.series], x) - log_time(series[low.series], x);
    };
    if (lead(below) > 0 && lead(above) < 0) {
      for (int i = 0; i < 40; ++i) {
        place = 0.5 * (below + above);
        (lead(place) > 0 ? below : above) = place;
      }
    } else if (lead(above) > 0) {
      // The first would be faster still, but is beyond a limit there: stay on the safe side.
      return low.seq;
    } else {
      return high.seq - 1;
    }
  }
  return std::clamp(static_cast<std::int64_t>(std::exp(place)), low.seq, high.seq - 1);
}

void add_entries(DispatchTable& table, const std::vector<Series>& series, const Selected& group) {
  std::set<std::int64_t> lengths;
  for (const std::size_t i : group) {
    for (const SeriesPoint& point : series[i].points) lengths.insert(point.seq);
  }
  std::vector<DispatchEntry> mine;
  for (const std::int64_t seq : lengths) {
    Request request = table.limits;
    request.seq = seq;
    request.extrapolate = false;
    const Recommendation found = recommend(series, group, request);
    if (found.accepted.empty()) continue;
    const Estimate& best = found.accepted.front();
    mine.push_back({.series = best.series,
                    .seq = seq,
                    .seq_from = seq,
                    .seq_to = seq,
                    .time_s = best.time_s,
                    .margin = found.margin(),
                    .error = best.error,
                    .workspace_bytes = best.workspace_bytes});
  }
  for (std::size_t i = 0; i + 1 < mine.size(); ++i) {
    // A length without an entry in between is a hole, not a neighbour.
    const auto next = lengths.upper_bound(mine[i].seq);
    if (next == lengths.end() || *next != mine[i + 1].seq) continue;
    mine[i].seq_to = boundary(series, mine[i], mine[i + 1]);
    mine[i + 1].seq_from = mine[i].seq_to + 1;
  }
  table.entries.insert(table.entries.end(), mine.begin(), mine.end());
}

/// Axes with one value over all of the series.
AxisValues shared_axes(const std::vector<Series>& series, const Selected& among) {
  AxisValues shared;
  for (const Column<Record>& column : axis_columns()) {
    const std::string axis(column.name);
    if (axis == "variant" || axis == "family" || axis == "exactness" || axis == "params" ||
        axis == "seq_q" || axis == "seq_k" ||
        std::ranges::find(dispatch_keys(), axis) != dispatch_keys().end()) {
      continue;
    }
    shared[axis] = axis_value(series[among.front()], axis);
  }
  const Series& first = series[among.front()];
  if (first.swept == "seq_k") shared["seq_q"] = axis_value(first, "seq_q");
  if (first.swept == "seq_q") shared["seq_k"] = axis_value(first, "seq_k");
  return shared;
}

}  // namespace

const std::vector<std::string>& dispatch_keys() {
  static const std::vector<std::string> keys{"batch", "heads_q", "heads_kv", "dim_qk",
                                             "dim_v", "causal",  "threads"};
  return keys;
}

DispatchTable dispatch_table(const std::vector<Series>& series, const Selected& among,
                             const Request& limits) {
  DispatchTable table;
  table.limits = limits;
  if (among.empty()) return table;
  table.run_id = series[among.front()].points.front().record.run_id;
  table.shared = shared_axes(series, among);
  std::map<std::vector<std::int64_t>, Selected> groups;
  for (const std::size_t i : among) groups[key_of(series[i].axes)].push_back(i);
  for (const auto& [key, group] : groups) add_entries(table, series, group);
  return table;
}

}  // namespace attnbench::analyse
