#include "analyse/compare_complexity.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "analyse/crossover.h"
#include "analyse/fit.h"

namespace attnbench::analyse {
namespace {

/// Exact figures have no interval; that much is rounding.
constexpr double kExactSlack = 1e-6;

CheckRow row_of(const Series& series, const std::string& label, const std::string& metric) {
  CheckRow row;
  row.label = fmt::format("{} {} T={}", label, series.problem, series.axes.threads);
  row.variant = series.axes.variant;
  row.params = series.axes.params;
  row.problem = series.problem;
  row.threads = series.axes.threads;
  row.metric = metric;
  row.unit = "";
  return row;
}

std::string exponent_text(const Growth& growth) {
  if (!growth.exponent_interval) return fmt::format("{:.3f}", *growth.exponent);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", *growth.exponent, growth.exponent_interval->low,
                     growth.exponent_interval->high);
}

void add_exponent(const Series& series, const std::string& metric, const Growth& base,
                  const Growth& head, const ComplexitySettings& settings, CheckReport& report) {
  if (!base.exponent || !head.exponent) return;
  CheckRow row = row_of(series, series.name(), metric);
  row.base = base.exponent;
  row.head = head.exponent;
  row.reason = fmt::format("{} was {}", exponent_text(head), exponent_text(base));
  const bool exact = metric == "workspace exponent";
  const bool few = !exact && (!base.exponent_interval || !head.exponent_interval);
  const double base_high =
      base.exponent_interval ? base.exponent_interval->high : *base.exponent + kExactSlack;
  const double base_low =
      base.exponent_interval ? base.exponent_interval->low : *base.exponent - kExactSlack;
  const double head_low = head.exponent_interval ? head.exponent_interval->low : *head.exponent;
  const double head_high = head.exponent_interval ? head.exponent_interval->high : *head.exponent;
  const double change = *head.exponent - *base.exponent;
  if (few) {
    row.reason += "; too few lengths for an interval, not judged";
  } else if (head_low > base_high && change > settings.least_exponent_change) {
    row.verdict = CheckVerdict::regression;
    row.reason = "grows faster: " + row.reason;
  } else if (head_high < base_low && change < -settings.least_exponent_change) {
    row.verdict = CheckVerdict::improved;
  }
  report.rows.push_back(std::move(row));
}

/// From which length on one series is faster than another; infinity: at no measured one.
struct Start {
  double seq = 0, low = 0, high = 0;
  bool known = false;
  std::string text;
};

/// `faster` is an index into the series the crossover was found in.
Start start_of(const Crossover& found, std::size_t faster) {
  Start start;
  start.known = found.verdict != CrossoverVerdict::uncertain;
  if (found.b != faster) {
    start.seq = start.low = start.high = std::numeric_limits<double>::infinity();
    start.text = fmt::format("not up to {}", found.seq_max);
  } else if (found.verdict == CrossoverVerdict::none_in_range) {
    start.seq = start.low = start.high = static_cast<double>(found.seq_min);
    start.text = fmt::format("from {} on or earlier", found.seq_min);
  } else if (found.seq) {
    start.seq = *found.seq;
    start.low = found.ci_low.value_or(*found.seq);
    start.high = found.ci_high.value_or(*found.seq);
    start.text = fmt::format("from {:.0f} [{:.0f}, {:.0f}] on", start.seq, start.low, start.high);
  } else {
    start.known = false;
  }
  return start;
}

/// Mean log ratio of head over base at common lengths.
double slowdown(const Series& base, const Series& head) {
  double sum = 0, count = 0;
  for (const SeriesPoint& point : base.points) {
    const SeriesPoint* other = head.at(point.seq);
    if (other == nullptr) continue;
    sum += std::log(other->time.median_s / point.time.median_s);
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// Series of both sides, matched.
class Complexity {
 public:
  Complexity(std::span<const Record> base, std::span<const Record> head,
             const ComplexitySettings& settings, CheckReport& report)
      : base_(group_series(base)), head_(group_series(head)), settings_(settings), report_(report) {
    for (Series& series : head_) {
      for (SeriesPoint& point : series.points) {
        point.time.log_sd = std::hypot(point.time.log_sd, settings.cell_sd);
      }
    }
    std::map<Key, std::size_t> heads;
    for (std::size_t i = 0; i < head_.size(); ++i) heads.emplace(key_of(head_[i]), i);
    for (std::size_t i = 0; i < base_.size(); ++i) {
      if (const auto found = heads.find(key_of(base_[i])); found != heads.end()) {
        pairs_.emplace_back(i, found->second);
      }
    }
  }

  void run() {
    for (const auto& [base, head] : pairs_) {
      add_exponent(base_[base], "growth exponent", time_growth(base_[base], nullptr),
                   time_growth(head_[head], nullptr), settings_, report_);
      add_exponent(base_[base], "workspace exponent", workspace_growth(base_[base]),
                   workspace_growth(head_[head]), settings_, report_);
    }
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      for (std::size_t j = i + 1; j < pairs_.size(); ++j) add_crossover(pairs_[i], pairs_[j]);
    }
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, int>;
  using Pair = std::pair<std::size_t, std::size_t>;  ///< Index in the base, index in the head.

  static Key key_of(const Series& series) {
    return {series.name(), series.problem, series.swept, series.axes.threads};
  }

  void add_crossover(const Pair& one, const Pair& two) {
    const Series& left = base_[one.first];
    const Series& right = base_[two.first];
    if (left.problem != right.problem || left.swept != right.swept ||
        left.axes.threads != right.axes.threads) {
      return;
    }
    const CrossoverOptions options{settings_.replicates, 1};
    const auto before = find_crossover(base_, one.first, two.first, options);
    const auto after = find_crossover(head_, one.second, two.second, options);
    if (!before || !after) return;
    const bool left_is_faster = before->b == one.first;
    const Pair& faster = left_is_faster ? one : two;
    const Start was = start_of(*before, faster.first), now = start_of(*after, faster.second);
    if (!was.known || !now.known) return;
    CheckRow row = row_of(base_[faster.first],
                          fmt::format("{} before {}", base_[faster.first].name(),
                                      base_[(left_is_faster ? two : one).first].name()),
                          "crossover");
    row.base = finite(was.seq);
    row.head = finite(now.seq);
    row.reason = fmt::format("faster {}, was {}", now.text, was.text);
    const bool later = now.low > was.high && now.seq > was.seq * settings_.least_crossover_change;
    if (later) {
      const double slower = slowdown(base_[faster.first], head_[faster.second]);
      if (slower > std::log1p(settings_.margin)) {
        row.verdict = CheckVerdict::regression;
        row.reason += fmt::format("; {} itself became {:.1f}% slower", base_[faster.first].name(),
                                  std::expm1(slower) * 100);
      } else {
        row.reason += "; the other series became faster";
      }
    }
    report_.rows.push_back(std::move(row));
  }

  std::vector<Series> base_, head_;
  const ComplexitySettings& settings_;
  CheckReport& report_;
  std::vector<Pair> pairs_;
};

}  // namespace

void compare_complexity(std::span<const Record> base, std::span<const Record> head,
                        const ComplexitySettings& settings, CheckReport& report) {
  Complexity(base, head, settings, report).run();
}

}  // namespace attnbench::analyse
