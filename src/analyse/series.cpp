#include "analyse/series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "record/schema.h"

namespace attnbench::analyse {
namespace {

constexpr double kZ = 1.959964;

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/// The log's standard error of the median of the rounds, about 1.25 times that of their mean.
std::optional<double> log_sd_of(const RoundValues& rounds) {
  if (rounds.size() < 3) return std::nullopt;
  const auto n = static_cast<double>(rounds.size());
  double mean = 0, squares = 0;
  for (const auto& [round, time_s] : rounds) mean += std::log(time_s) / n;
  for (const auto& [round, time_s] : rounds) squares += std::pow(std::log(time_s) - mean, 2);
  return 1.2533 * std::sqrt(squares / (n - 1) / n);
}

Time time_of(const Record& record, const RoundValues& rounds) {
  Time time;
  time.median_s = *record.time_median_s;
  const double low = record.time_ci_low_s.value_or(0), high = record.time_ci_high_s.value_or(0);
  if (low > 0 && low <= time.median_s && high >= time.median_s) {
    time.low_s = low;
    time.high_s = high;
    time.log_sd = std::log(high / low) / (2 * kZ);
    return time;
  }
  time.log_sd = log_sd_of(rounds).value_or(kUnknownNoise);
  time.low_s = time.median_s * std::exp(-kZ * time.log_sd);
  time.high_s = time.median_s * std::exp(kZ * time.log_sd);
  return time;
}

/// Makes one point of several rows of the same case.
void merge(SeriesPoint& into, const std::vector<Time>& times) {
  const auto n = static_cast<double>(times.size());
  double mean = 0, within = 0, between = 0;
  for (const Time& time : times) {
    mean += std::log(time.median_s) / n;
    within += time.log_sd * time.log_sd / (n * n);
  }
  for (const Time& time : times) between += std::pow(std::log(time.median_s) - mean, 2);
  const double log_sd = std::sqrt(std::max(within, between / (n - 1) / n));
  into.time = {std::exp(mean), log_sd, std::exp(mean - kZ * log_sd), std::exp(mean + kZ * log_sd)};
  into.rounds.clear();
}

/// All axis columns but the lengths, and for a family the variant's own too.
std::string key_of(const CaseAxes& axes) {
  Record record;
  record.axes = axes;
  record.axes.seq_q = record.axes.seq_k = 1;
  // What describes the variant and not the case.
  record.axes.family.clear();
  record.axes.exactness.clear();
  std::string key;
  for (const Column<Record>& column : axis_columns()) {
    key += cell_text(column, column.get(record)) + '\x1f';
  }
  return key;
}

/// The length that varies within rows that differ in nothing else.
std::string swept_length(const std::vector<const Record*>& rows) {
  std::set<std::int64_t> queries, keys;
  bool square = true;
  for (const Record* row : rows) {
    square = square && row->axes.seq_q == row->axes.seq_k;
    queries.insert(row->axes.seq_q);
    keys.insert(row->axes.seq_k);
  }
  if (square) return "seq";
  return keys.size() >= queries.size() ? "seq_k" : "seq_q";
}

void add_points(Series& series, const std::vector<const Record*>& rows,
                const std::map<std::string, RoundValues>& rounds) {
  std::map<std::int64_t, std::vector<const Record*>> timed;
  std::map<std::int64_t, Gap> gaps;
  for (const Record* row : rows) {
    const std::int64_t seq = series.swept == "seq_q" ? row->axes.seq_q : row->axes.seq_k;
    if (row->status == RowStatus::ok && row->time_median_s.value_or(0) > 0) {
      timed[seq].push_back(row);
    } else {
      gaps.try_emplace(seq, Gap{seq, row->status, row->reason});
    }
    if (series.time_law.empty()) series.time_law = row->time_law;
    if (series.workspace_law.empty()) series.workspace_law = row->workspace_law;
  }
  for (const auto& [seq, same] : timed) {
    SeriesPoint point;
    point.seq = seq;
    point.record = *same.front();
    std::vector<Time> times;
    for (const Record* row : same) {
      const auto found = rounds.find(row->case_id());
      point.rounds = found == rounds.end() ? RoundValues{} : found->second;
      times.push_back(time_of(*row, point.rounds));
    }
    point.time = times.front();
    if (times.size() > 1) merge(point, times);
    series.points.push_back(std::move(point));
    gaps.erase(seq);
  }
  for (auto& [seq, gap] : gaps) series.gaps.push_back(std::move(gap));
}

}  // namespace

std::map<std::string, RoundValues> round_values(std::span<const SampleRow> samples) {
  std::map<std::string, std::map<int, std::vector<double>>> times;
  for (const SampleRow& sample : samples) {
    if (sample.time_s > 0) times[sample.case_id][sample.round].push_back(sample.time_s);
  }
  std::map<std::string, RoundValues> all;
  for (auto& [id, rounds] : times) {
    for (auto& [round, values] : rounds) all[id][round] = median_of(std::move(values));
  }
  return all;
}

std::string Series::name() const {
  return axes.params.empty() ? axes.variant : axes.variant + " " + axes.params;
}

const SeriesPoint* Series::at(std::int64_t seq) const {
  const auto found = std::ranges::find(points, seq, &SeriesPoint::seq);
  return found == points.end() ? nullptr : &*found;
}

std::string problem_text(const CaseAxes& axes, const std::string& swept) {
  const CaseAxes usual;
  std::string text = fmt::format("B={} H={}", axes.batch, axes.heads_q);
  const auto add = [&](bool wanted, const std::string& word) {
    if (wanted) text += " " + word;
  };
  add(axes.heads_kv != axes.heads_q, fmt::format("Hkv={}", axes.heads_kv));
  add(swept == "seq_k", fmt::format("Nq={}", axes.seq_q));
  add(swept == "seq_q", fmt::format("Nk={}", axes.seq_k));
  add(true, fmt::format("D={}", axes.dim_qk));
  add(axes.dim_v != axes.dim_qk, fmt::format("Dv={}", axes.dim_v));
  add(axes.causal, "causal");
  add(axes.mode != usual.mode, axes.mode);
  add(axes.pass != usual.pass, axes.pass);
  add(axes.dtype != usual.dtype, axes.dtype);
  add(axes.layout != usual.layout, axes.layout);
  add(axes.input != usual.input, "input=" + axes.input);
  add(axes.mask != usual.mask, "mask=" + axes.mask);
  add(axes.position != usual.position, "position=" + axes.position);
  add(axes.cache != usual.cache, axes.cache);
  add(!axes.isa.empty(), axes.isa);
  return text;
}

std::string case_problem(const CaseAxes& axes) {
  const std::string lengths = axes.seq_q == axes.seq_k
                                  ? fmt::format("N={}", axes.seq_q)
                                  : fmt::format("Nq={} Nk={}", axes.seq_q, axes.seq_k);
  return lengths + " " + problem_text(axes, "seq");
}

std::string cell_label(const CaseAxes& axes) {
  const std::string params = axes.params.empty() ? "" : " " + axes.params;
  return fmt::format("{}{} {} T={}", axes.variant, params, case_problem(axes), axes.threads);
}

std::vector<Series> group_series(std::span<const Record> records,
                                 std::span<const SampleRow> samples) {
  const std::map<std::string, RoundValues> rounds = round_values(samples);
  std::vector<std::string> order;
  std::map<std::string, std::vector<const Record*>> families;
  for (const Record& record : records) {
    const std::string key = key_of(record.axes);
    auto& rows = families[key];
    if (rows.empty()) order.push_back(key);
    rows.push_back(&record);
  }
  std::vector<Series> all;
  for (const std::string& key : order) {
    const std::vector<const Record*>& rows = families[key];
    const std::string swept = swept_length(rows);
    std::map<std::int64_t, std::vector<const Record*>> by_fixed_length;
    for (const Record* row : rows) {
      const std::int64_t fixed =
          swept == "seq" ? 0 : (swept == "seq_k" ? row->axes.seq_q : row->axes.seq_k);
      by_fixed_length[fixed].push_back(row);
    }
    for (const auto& [fixed, same] : by_fixed_length) {
      Series series;
      series.axes = same.front()->axes;
      series.swept = swept;
      series.problem = problem_text(series.axes, swept);
      add_points(series, same, rounds);
      all.push_back(std::move(series));
    }
  }
  return all;
}

}  // namespace attnbench::analyse
