#include "analyse/fit.h"

#include <fmt/format.h>

#include <algorithm>

namespace attnbench::analyse {
namespace {

using OptionalReal = std::optional<double> Record::*;

void add_cost(GrowthInput& input, const Series& series, const char* name, OptionalReal column) {
  CostCurve cost{name, {}};
  for (const SeriesPoint& point : series.points) {
    const std::optional<double>& value = point.record.*column;
    if (!value || !(*value > 0)) return;
    cost.values.push_back(*value);
  }
  input.costs.push_back(std::move(cost));
}

double working_set_bytes(const Record& row) {
  const auto workspace =
      row.workspace_peak_bytes ? row.workspace_peak_bytes : row.workspace_model_bytes;
  return row.min_bytes.value_or(0) + static_cast<double>(workspace.value_or(0));
}

/// "L2": the largest cache that holds the working set before the break and not behind it.
std::string crossed_level(const Manifest& manifest, const Record& before, const Record& behind) {
  std::string name;
  std::int64_t largest = 0;
  const auto consider = [&](const std::string& level, std::int64_t bytes) {
    const auto capacity = static_cast<double>(bytes);
    if (bytes > largest && working_set_bytes(before) <= capacity &&
        working_set_bytes(behind) > capacity) {
      name = level;
      largest = bytes;
    }
  };
  for (const ManifestBandwidth& level : manifest.bandwidth) {
    if (level.threads == before.axes.threads) consider(level.level, level.capacity_bytes);
  }
  if (!name.empty()) return name;
  for (const ManifestCache& cache : manifest.machine.caches) {
    if (cache.type != "instruction") consider(fmt::format("L{}", cache.level), cache.bytes);
  }
  return name;
}

void name_breaks(Growth& growth, const Series& series, const Manifest& manifest) {
  for (Break& each : growth.breaks) {
    const SeriesPoint* before = series.at(static_cast<std::int64_t>(each.n_low));
    const SeriesPoint* behind = series.at(static_cast<std::int64_t>(each.n_high));
    if (before == nullptr || behind == nullptr || !before->record.min_bytes) continue;
    each.level = crossed_level(manifest, before->record, behind->record);
  }
}

}  // namespace

Growth time_growth(const Series& series, const Manifest* manifest) {
  GrowthInput input;
  input.declared = series.time_law;
  for (const SeriesPoint& point : series.points) {
    input.points.push_back({.n = static_cast<double>(point.seq),
                            .value = point.time.median_s,
                            .log_sd = point.time.log_sd});
  }
  add_cost(input, series, "roofline_bound_s", &Record::roofline_bound_s);
  add_cost(input, series, "performed_flops", &Record::performed_flops);
  Growth growth = analyse_growth(input);
  if (manifest != nullptr) name_breaks(growth, series, *manifest);
  return growth;
}

Growth workspace_growth(const Series& series) {
  GrowthInput input;
  input.declared = series.workspace_law;
  CostCurve model{"workspace_model_bytes", {}};
  bool measured = true;
  std::size_t empty = 0;
  for (const SeriesPoint& point : series.points) {
    const Record& row = point.record;
    const auto bytes =
        row.workspace_peak_bytes ? row.workspace_peak_bytes : row.workspace_model_bytes;
    if (!bytes) continue;
    measured = measured && row.workspace_peak_bytes.has_value();
    empty += *bytes == 0;
    input.points.push_back(
        {.n = static_cast<double>(point.seq), .value = static_cast<double>(*bytes)});
    model.values.push_back(static_cast<double>(row.workspace_model_bytes.value_or(0)));
  }
  const bool none = empty == input.points.size();
  if (none) {
    // No workspace at any length is as constant as one byte at each.
    for (GrowthPoint& point : input.points) point.value = 1;
  } else if (empty > 0) {
    std::vector<double> kept;
    for (std::size_t i = 0; i < input.points.size(); ++i) {
      if (input.points[i].value > 0) kept.push_back(model.values[i]);
    }
    model.values = std::move(kept);
    std::erase_if(input.points, [](const GrowthPoint& point) { return !(point.value > 0); });
  }
  if (measured && !none) input.costs.push_back(std::move(model));
  Growth growth = analyse_growth(input);
  if (none && !input.points.empty()) growth.c = growth.a = 0;
  if (!none && empty > 0) {
    growth.note += fmt::format("{}{} lengths without any workspace left out",
                               growth.note.empty() ? "" : "; ", empty);
  }
  return growth;
}

FitReport analyse_run(std::span<const Record> records, std::span<const SampleRow> samples,
                      const Manifest* manifest, CrossoverOptions options) {
  FitReport report;
  report.series = group_series(records, samples);
  for (const Series& series : report.series) {
    report.fits.push_back({time_growth(series, manifest), workspace_growth(series)});
  }
  report.crossovers = find_crossovers(report.series, options);
  report.scaling = analyse_scaling(report.series, manifest);
  report.pareto = pareto_groups(report.series);
  return report;
}

}  // namespace attnbench::analyse
