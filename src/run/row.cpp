#include "run/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "run/repro.h"

namespace attnbench::run {
namespace {

/// What counting CPU time by clock ticks and a busy timer interrupt can add.
constexpr double kCensusSlack = 0.1;
/// Above this a variant is faster than its bound by more than the ceilings can be off.
constexpr double kRooflineSlack = 1.05;

StopReason stop_reason(measure::Stop stop) {
  switch (stop) {
    case measure::Stop::precision:
      return StopReason::precision;
    case measure::Stop::budget:
      return StopReason::budget;
    case measure::Stop::max_samples:
      return StopReason::max_samples;
    case measure::Stop::no:
      break;
  }
  return StopReason::none;
}

void fill_rates(Record& row, const Case& spec, double median_s, const Ceilings& ceilings) {
  if (!(median_s > 0)) return;
  row.gflops_performed = spec.cost.performed_flops / median_s / 1e9;
  if (spec.cost.useful_flops) row.gflops_useful = *spec.cost.useful_flops / median_s / 1e9;
  const std::optional<double> bound_s =
      roofline_bound_s(ceilings, spec.cost, spec.threads, spec.cache == CacheState::cold);
  if (!bound_s) return;
  row.roofline_bound_s = *bound_s;
  row.roofline_fraction = *bound_s / median_s;
  if (*row.roofline_fraction > kRooflineSlack) {
    add_reason(row, fmt::format("warning: {:.2f} of the roofline: the ceilings or the counts are "
                                "in doubt",
                                *row.roofline_fraction));
  }
}

}  // namespace

CaseAxes make_axes(const Case& spec, const std::string& isa) {
  const VariantInfo& info = spec.variant->info();
  const Problem& p = spec.problem;
  CaseAxes axes;
  axes.variant = info.name;
  axes.family = info.family;
  axes.exactness = to_string(info.exactness);
  axes.params = p.params_text(spec.params.canonical());
  axes.position = to_string(p.position);
  axes.mode = to_string(p.mode);
  axes.pass = to_string(p.pass);
  axes.layout = to_string(p.layout);
  axes.isa = isa;
  axes.input = spec.input;
  axes.mask = mask_text(p);
  axes.cache = to_string(spec.cache);
  axes.batch = p.batch;
  axes.heads_q = p.heads_q;
  axes.heads_kv = p.heads_kv;
  axes.seq_q = p.seq_q;
  axes.seq_k = p.seq_k;
  axes.dim_qk = p.dim_qk;
  axes.dim_v = p.dim_v;
  axes.causal = p.causal;
  axes.threads = spec.threads;
  return axes;
}

Record planned_row(const Case& spec, const SweepConfig& config, const std::string& run_id,
                   const std::string& isa) {
  Record row;
  row.run_id = run_id;
  row.axes = make_axes(spec, isa);
  row.time_law = spec.laws.time;
  row.workspace_law = spec.laws.workspace;
  row.seed = config.seed;
  row.repro = repro_command(spec, config);
  // A case that was skipped before its cost was worked out has none.
  if (spec.cost.min_bytes > 0) {
    row.useful_flops = spec.cost.useful_flops;
    row.performed_flops = spec.cost.performed_flops;
    row.exp_count = spec.cost.exp_count;
    row.min_bytes = spec.cost.min_bytes;
    row.traffic_bytes = spec.cost.traffic_bytes;
    row.workspace_model_bytes = static_cast<std::int64_t>(spec.cost.workspace_bytes);
  }
  if (spec.skip) set_status(row, RowStatus::skipped, *spec.skip);
  return row;
}

void set_status(Record& row, RowStatus status, std::string reason) {
  row.status = status;
  row.reason = std::move(reason);
}

void add_reason(Record& row, const std::string& text) {
  if (!row.reason.empty()) row.reason += "; ";
  row.reason += text;
}

void fill_verification(Record& row, const Verification& v) {
  row.definition_rel_l2 = v.definition_rel_l2;
  row.error_rel_l2 = v.error_rel_l2;
  row.error_max_abs = v.error_max_abs;
  row.error_mean_v = v.error_mean_v;
  row.error_reference = v.error_reference;
  row.workspace_peak_bytes = v.workspace_peak_bytes;
  if (v.undecided_rows > 0 && v.passed) {
    add_reason(row, fmt::format("{} of {} checked rows left out: too close to call",
                                v.undecided_rows, v.checked_rows));
  }
}

void fill_timing(Record& row, const Case& spec, std::span<const measure::TimedSample> samples,
                 measure::Stop stop, const Ceilings& ceilings,
                 std::span<const std::size_t> visit_sizes) {
  row.samples = static_cast<std::int64_t>(samples.size());
  row.stop_reason = stop_reason(stop);
  if (samples.empty()) return;
  std::vector<double> wall, cpu, census;
  for (const measure::TimedSample& sample : samples) {
    wall.push_back(sample.wall_s);
    cpu.push_back(sample.cpu_s);
    if (sample.wall_s > 0) census.push_back(sample.cpu_s / sample.wall_s);
  }
  const std::size_t all[]{samples.size()};
  const measure::PooledInterval pooled =
      measure::pooled_interval(wall, visit_sizes.empty() ? all : visit_sizes);
  const measure::MedianInterval& interval = pooled.interval;
  row.time_median_s = interval.median;
  row.time_min_s = interval.minimum;
  row.time_mad_s = interval.mad;
  row.cpu_time_median_s = measure::median(cpu);
  if (interval.attained) {
    row.time_ci_low_s = interval.low;
    row.time_ci_high_s = interval.high;
  } else {
    add_reason(row, fmt::format("{} {}: too few for a 95% interval", samples.size(),
                                samples.size() == 1 ? "round" : "rounds"));
  }
  if (pooled.visits_differ) {
    add_reason(row, fmt::format("warning: rounds of {} visits differ by {:.1f}%: the machine was "
                                "faster in one of them, the interval has both",
                                visit_sizes.size(), 100 * (pooled.ratio - 1)));
  }
  if (!census.empty()) {
    row.thread_census = measure::median(census);
    if (*row.thread_census > spec.threads + kCensusSlack) {
      add_reason(row,
                 fmt::format("warning: oversubscribed: {:.2f} threads were busy, {} were given",
                             *row.thread_census, spec.threads));
    }
  }
  fill_rates(row, spec, interval.median, ceilings);
}

void fill_counters(Record& row, std::span<const EventCounts> samples) {
  const auto median_of = [&](std::size_t event) -> std::optional<std::int64_t> {
    std::vector<double> values;
    for (const EventCounts& counts : samples) {
      if (event >= counts.size() || !counts[event]) return std::nullopt;
      values.push_back(*counts[event]);
    }
    if (values.empty()) return std::nullopt;
    return static_cast<std::int64_t>(std::llround(measure::median(values)));
  };
  row.cycles = median_of(0);
  row.instructions = median_of(1);
  row.cache_misses = median_of(2);
}

}  // namespace attnbench::run
