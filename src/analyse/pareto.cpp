#include "analyse/pareto.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace attnbench::analyse {
namespace {

/// Marks the front of points sorted by time, then error: each step to a smaller error.
void mark_front(std::vector<ParetoPoint>& points, bool dense_only, bool ParetoPoint::*mark) {
  const ParetoPoint* last = nullptr;
  for (ParetoPoint& point : points) {
    if (dense_only && point.own_mask) continue;
    const bool tied = last != nullptr && point.time_s == last->time_s && point.error == last->error;
    if (last != nullptr && !tied && point.error >= last->error) continue;
    point.*mark = true;
    last = &point;
  }
}

}  // namespace

const ParetoPoint* ParetoGroup::fastest_within(double error) const {
  const auto found =
      std::ranges::find_if(points, [&](const ParetoPoint& point) { return point.error <= error; });
  return found == points.end() ? nullptr : &*found;
}

std::vector<ParetoGroup> pareto_groups(const std::vector<Series>& series) {
  using Key = std::tuple<std::string, int, std::int64_t>;
  std::map<Key, std::size_t> index;
  std::vector<ParetoGroup> groups;
  for (std::size_t s = 0; s < series.size(); ++s) {
    for (const SeriesPoint& point : series[s].points) {
      if (!point.record.error_rel_l2) continue;
      const Key key{series[s].problem, series[s].axes.threads, point.seq};
      const auto [place, fresh] = index.try_emplace(key, groups.size());
      if (fresh) {
        groups.push_back(
            {series[s].problem, series[s].axes.input, point.seq, series[s].axes.threads, {}});
      }
      groups[place->second].points.push_back(
          {.series = s,
           .time_s = point.time.median_s,
           .error = *point.record.error_rel_l2,
           .own_mask = series[s].axes.exactness == "exact-under-mask"});
    }
  }
  for (ParetoGroup& group : groups) {
    std::ranges::stable_sort(group.points, [](const ParetoPoint& x, const ParetoPoint& y) {
      return std::tie(x.time_s, x.error) < std::tie(y.time_s, y.error);
    });
    mark_front(group.points, false, &ParetoPoint::on_front);
    mark_front(group.points, true, &ParetoPoint::on_dense_front);
  }
  return groups;
}

}  // namespace attnbench::analyse
