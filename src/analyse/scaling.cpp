#include "analyse/scaling.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <tuple>

namespace attnbench::analyse {
namespace {

constexpr double kZ = 1.959964;
/// Below this a machine gains nothing that a serial fraction could be told from.
constexpr double kLeastGain = 1.01;

const ManifestCompute* compute_at(const Manifest& manifest, int threads) {
  const auto found = std::ranges::find(manifest.compute, threads, &ManifestCompute::threads);
  return found == manifest.compute.end() ? nullptr : &*found;
}

/// Bytes per second of the smallest level that holds the working set (hot), or of memory.
double bandwidth_at(const Manifest& manifest, int threads, double working_set, bool cold) {
  double outermost = 0;
  for (const ManifestBandwidth& level : manifest.bandwidth) {
    if (level.threads != threads) continue;
    outermost = 1e9 * std::max(level.read_gbs, level.copy_gbs);
    const bool holds =
        level.capacity_bytes > 0 && working_set <= static_cast<double>(level.capacity_bytes);
    if (!cold && holds) break;
  }
  return outermost;
}

struct MachineRatio {
  double ratio = 1;
  std::string basis;
};

/// By the manifest's ceilings: the ratio of whatever bounds the case on one thread.
std::optional<MachineRatio> manifest_ratio(const Manifest& manifest, const Record& row,
                                           int threads) {
  const ManifestCompute *one = compute_at(manifest, 1), *all = compute_at(manifest, threads);
  if (one == nullptr || all == nullptr || !(one->fma_gflops > 0) || !(all->fma_gflops > 0)) {
    return std::nullopt;
  }
  const bool exp_known = one->exp_per_s > 0 && all->exp_per_s > 0;
  const double flops_s = row.performed_flops.value_or(0) / (1e9 * one->fma_gflops);
  const double exp_s = exp_known ? row.exp_count.value_or(0) / one->exp_per_s : 0;
  const double set =
      row.min_bytes.value_or(0) + static_cast<double>(row.workspace_peak_bytes.value_or(0));
  const bool cold = row.axes.cache == "cold";
  const double slow = bandwidth_at(manifest, 1, set, cold);
  const double fast = bandwidth_at(manifest, threads, set, cold);
  const double traffic_s = slow > 0 && fast > 0 ? row.traffic_bytes.value_or(0) / slow : 0;
  if (traffic_s > flops_s + exp_s) return MachineRatio{fast / slow, "bandwidth"};
  const double fma_ratio = all->fma_gflops / one->fma_gflops;
  if (!(flops_s + exp_s > 0)) return MachineRatio{fma_ratio, "fma"};
  const double exp_ratio = exp_known ? all->exp_per_s / one->exp_per_s : 1;
  return MachineRatio{(flops_s + exp_s) / (flops_s / fma_ratio + exp_s / exp_ratio),
                      exp_s > flops_s ? "exp" : "fma"};
}

MachineRatio machine_ratio(const Manifest* manifest, const Record& one, const Record& all) {
  const int threads = all.axes.threads;
  if (manifest != nullptr) {
    if (auto ratio = manifest_ratio(*manifest, one, threads)) return *ratio;
  }
  const double bound_one = one.roofline_bound_s.value_or(0);
  const double bound_all = all.roofline_bound_s.value_or(0);
  if (bound_all > 0 && bound_one > kLeastGain * bound_all) {
    return {bound_one / bound_all, "roofline"};
  }
  return {static_cast<double>(threads), "threads"};
}

/// Amdahl's law is linear in s: t(T) / t(1) - 1/R = s (1 - 1/R). Weighted least squares over the
/// thread counts; t(1) is common to all, so its noise is added in full.
void fit_serial_fraction(Scaling& scaling, const std::vector<const SeriesPoint*>& rows) {
  double normal = 0, right = 0, shared = 0;
  std::size_t count = 0;
  const double one_sd = rows[0]->time.log_sd;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const ThreadPoint& point = scaling.points[i];
    if (point.machine_ratio < kLeastGain) continue;
    const double gain = 1 - 1 / point.machine_ratio;
    const double share = 1 / point.speedup;
    const double sd = std::max(share * rows[i]->time.log_sd, 1e-4);
    normal += gain * gain / (sd * sd);
    right += gain * (share - 1 / point.machine_ratio) / (sd * sd);
    shared += gain * share / (sd * sd);
    ++count;
  }
  if (count == 0) return;
  const double s = right / normal;
  double misfit = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const ThreadPoint& point = scaling.points[i];
    if (point.machine_ratio < kLeastGain) continue;
    const double expected = s + (1 - s) / point.machine_ratio;
    const double sd = std::max(rows[i]->time.log_sd / point.speedup, 1e-4);
    misfit += std::pow((1 / point.speedup - expected) / sd, 2);
  }
  double half = kZ / std::sqrt(normal);
  if (count > 1) {
    const boost::math::students_t_distribution<double> t(static_cast<double>(count - 1));
    half = std::max(half, boost::math::quantile(t, 0.975) *
                              std::sqrt(misfit / static_cast<double>(count - 1) / normal));
  }
  half = std::hypot(half, kZ * one_sd * shared / normal);
  scaling.serial_fraction = std::clamp(s, 0.0, 1.0);
  scaling.serial_interval =
      Interval{std::clamp(s - half, 0.0, 1.0), std::clamp(s + half, 0.0, 1.0)};
}

Scaling scale(const Series& series, std::int64_t seq, const std::vector<const SeriesPoint*>& rows,
              const Manifest* manifest) {
  Scaling scaling;
  scaling.variant = series.axes.variant;
  scaling.params = series.axes.params;
  scaling.problem = series.problem;
  scaling.seq = seq;
  const Time& one = rows[0]->time;
  double best = one.median_s;
  for (const SeriesPoint* row : rows) {
    ThreadPoint point;
    point.threads = row->record.axes.threads;
    point.time_s = row->time.median_s;
    if (row != rows[0]) {
      const MachineRatio machine = machine_ratio(manifest, rows[0]->record, row->record);
      const double half = kZ * std::hypot(one.log_sd, row->time.log_sd);
      point.speedup = one.median_s / row->time.median_s;
      point.speedup_interval = {point.speedup * std::exp(-half), point.speedup * std::exp(half)};
      point.efficiency = point.speedup / point.threads;
      point.machine_ratio = machine.ratio;
      point.of_machine = point.speedup / machine.ratio;
      scaling.machine_basis = machine.basis;
    } else {
      point.speedup_interval = {1, 1};
    }
    if (row->time.median_s < best) {
      best = row->time.median_s;
      scaling.best_threads = point.threads;
    }
    scaling.points.push_back(point);
  }
  fit_serial_fraction(scaling, rows);
  return scaling;
}

}  // namespace

std::vector<Scaling> analyse_scaling(const std::vector<Series>& series, const Manifest* manifest) {
  using Key = std::tuple<std::string, std::string, std::string>;
  std::map<Key, std::map<int, const Series*>> groups;
  std::vector<Key> order;
  for (const Series& each : series) {
    const Key key{each.axes.variant, each.axes.params, each.problem};
    auto& by_threads = groups[key];
    if (by_threads.empty()) order.push_back(key);
    by_threads[each.axes.threads] = &each;
  }
  std::vector<Scaling> all;
  for (const Key& key : order) {
    const auto& by_threads = groups[key];
    const auto one = by_threads.find(1);
    if (one == by_threads.end()) continue;
    for (const SeriesPoint& point : one->second->points) {
      std::vector<const SeriesPoint*> rows;
      for (const auto& [threads, each] : by_threads) {
        if (const SeriesPoint* row = each->at(point.seq)) rows.push_back(row);
      }
      if (rows.size() > 1) all.push_back(scale(*one->second, point.seq, rows, manifest));
    }
  }
  return all;
}

}  // namespace attnbench::analyse
