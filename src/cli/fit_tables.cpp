#include "cli/fit_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "cli/report.h"
#include "cli/text_table.h"
#include "record/markdown.h"

namespace attnbench::cli {
namespace {

using analyse::Crossover;
using analyse::CrossoverVerdict;
using analyse::FitReport;
using analyse::Growth;
using analyse::Series;
using Align = TextTable::Align;

/// Problems in the order of their first series.
std::vector<std::string> problems_of(const FitReport& report) {
  std::vector<std::string> problems;
  for (const Series& series : report.series) {
    if (std::ranges::find(problems, series.problem) == problems.end()) {
      problems.push_back(series.problem);
    }
  }
  return problems;
}

/// Names that are short where a variant comes with one set of parameters only.
class Names {
 public:
  explicit Names(const FitReport& report) {
    for (const Series& series : report.series) {
      params_[series.axes.variant].insert(series.axes.params);
    }
  }
  std::string of(const std::string& variant, const std::string& params) const {
    const auto found = params_.find(variant);
    const bool several = found != params_.end() && found->second.size() > 1;
    return several ? variant + " " + params : variant;
  }
  std::string of(const Series& series) const { return of(series.axes.variant, series.axes.params); }

 private:
  std::map<std::string, std::set<std::string>> params_;
};

std::string exponent_text(const Growth& growth) {
  if (!growth.exponent) return "-";
  std::string text = fmt::format("{:.2f}", *growth.exponent + 0.0);
  if (growth.exponent_interval) {
    const auto [low, high] = *growth.exponent_interval;
    text += low <= analyse::kLeastExponent ? " [<" : " [";
    text += fmt::format("{:.2f}, {}{:.2f}]", low, high >= analyse::kMostExponent ? ">" : "", high);
  }
  return text;
}

std::string law_text(const Growth& growth) {
  if (growth.law != analyse::kUndetermined) return growth.law;
  std::string text = "?";
  for (const auto& candidate : growth.candidates()) {
    text += (text == "?" ? " " : " or ") + candidate.law.text();
  }
  return text;
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string growth_table(const FitReport& report, const Names& names, const std::string& problem) {
  TextTable table({{"variant"},
                   {"T", Align::right},
                   {"N"},
                   {"exponent of time"},
                   {"law"},
                   {"declared"},
                   {"verdict"},
                   {"workspace"},
                   {"declared"},
                   {"verdict"}});
  for (std::size_t i = 0; i < report.series.size(); ++i) {
    const Series& series = report.series[i];
    if (series.problem != problem) continue;
    const Growth &time = report.fits[i].time, &workspace = report.fits[i].workspace;
    const std::string lengths =
        time.lengths == 0 ? "-" : fmt::format("{}..{} ({})", time.n_min, time.n_max, time.lengths);
    table.add({names.of(series), std::to_string(series.axes.threads), lengths, exponent_text(time),
               law_text(time), or_dash(time.declared), std::string(to_string(time.verdict)),
               law_text(workspace), or_dash(workspace.declared),
               std::string(to_string(workspace.verdict))});
  }
  return table.empty() ? "" : table.text(2);
}

void append_notes(std::string& out, const std::string& who, const char* what,
                  const Growth& growth) {
  if (growth.lengths > 0 && !growth.note.empty()) {
    out += fmt::format("  {} ({}): {}\n", who, what, growth.note);
  }
  for (const analyse::Break& each : growth.breaks) {
    out += fmt::format("  {} ({}): a break between {} and {}: {:.2f} times the curve{}\n", who,
                       what, each.n_low, each.n_high, each.factor,
                       each.level.empty() ? "" : ", where " + each.level + " ends");
  }
}

std::string growth_notes(const FitReport& report, const Names& names, const std::string& problem) {
  std::string out;
  for (std::size_t i = 0; i < report.series.size(); ++i) {
    const Series& series = report.series[i];
    if (series.problem != problem) continue;
    const std::string who = fmt::format("{} T={}", names.of(series), series.axes.threads);
    const Growth &time = report.fits[i].time, &workspace = report.fits[i].workspace;
    const bool alike = time.note == workspace.note && time.breaks.empty() &&
                       workspace.breaks.empty() && time.lengths > 0 && workspace.lengths > 0;
    append_notes(out, who, alike ? "time and workspace" : "time", time);
    if (!alike) append_notes(out, who, "workspace", workspace);
  }
  return out;
}

std::string crossing_text(const Crossover& crossing) {
  if (!crossing.seq) return "-";
  std::string text = fmt::format("{:.0f}", *crossing.seq);
  if (crossing.ci_low) {
    text += fmt::format(" [{:.0f}, {:.0f}]", *crossing.ci_low, *crossing.ci_high);
  }
  return text;
}

std::string crossover_table(const FitReport& report, const Names& names,
                            const std::string& problem) {
  constexpr std::size_t kShown = 24;
  std::vector<const Crossover*> mine;
  for (const Crossover& crossing : report.crossovers) {
    if (report.series[crossing.a].problem == problem) mine.push_back(&crossing);
  }
  // What says least goes first when there is too much.
  std::string left_out;
  for (const auto verdict : {CrossoverVerdict::none_in_range, CrossoverVerdict::uncertain}) {
    if (mine.size() <= kShown) break;
    const std::size_t count = std::erase_if(
        mine, [&](const Crossover* crossing) { return crossing->verdict == verdict; });
    if (count > 0) left_out += fmt::format("  and {} pairs: {}\n", count, to_string(verdict));
  }
  if (mine.size() > 2 * kShown) {
    left_out += fmt::format("  and {} more crossovers\n", mine.size() - 2 * kShown);
    mine.resize(2 * kShown);
  }
  TextTable table({{"slower"},
                   {"faster"},
                   {"T", Align::right},
                   {"from N on"},
                   {"verdict"},
                   {"slower/faster at the ends"}});
  for (const Crossover* crossing : mine) {
    table.add({names.of(report.series[crossing->a]), names.of(report.series[crossing->b]),
               std::to_string(report.series[crossing->a].axes.threads), crossing_text(*crossing),
               std::string(to_string(crossing->verdict)),
               fmt::format("{} at {}, {} at {}", significant(crossing->ratio_at_min, 3),
                           crossing->seq_min, significant(crossing->ratio_at_max, 3),
                           crossing->seq_max)});
  }
  return (table.empty() ? "" : table.text(2)) + left_out;
}

std::string scaling_table(const FitReport& report, const Names& names, const std::string& problem) {
  std::map<std::string, std::int64_t> longest;
  for (const auto& scaling : report.scaling) {
    auto& seq = longest[names.of(scaling.variant, scaling.params)];
    if (scaling.problem == problem) seq = std::max(seq, scaling.seq);
  }
  TextTable table({{"variant"},
                   {"N", Align::right},
                   {"T", Align::right},
                   {"speed-up"},
                   {"efficiency", Align::right},
                   {"machine", Align::right},
                   {"serial fraction"},
                   {"best T", Align::right}});
  for (const auto& scaling : report.scaling) {
    const std::string name = names.of(scaling.variant, scaling.params);
    if (scaling.problem != problem || scaling.seq != longest[name]) continue;
    const analyse::ThreadPoint& most = scaling.points.back();
    table.add({name, std::to_string(scaling.seq), std::to_string(most.threads),
               fmt::format("{:.2f} [{:.2f}, {:.2f}]", most.speedup, most.speedup_interval.low,
                           most.speedup_interval.high),
               fmt::format("{:.0f}%", 100 * most.efficiency),
               fmt::format("{:.2f} ({})", most.machine_ratio, scaling.machine_basis),
               scaling.serial_fraction
                   ? fmt::format("{:.3f} [{:.3f}, {:.3f}]", *scaling.serial_fraction,
                                 scaling.serial_interval->low, scaling.serial_interval->high)
                   : "-",
               std::to_string(scaling.best_threads)});
  }
  return table.empty() ? "" : table.text(2);
}

/// The group at the longest length that has the most points, on the most threads.
const analyse::ParetoGroup* shown_group(const FitReport& report, const std::string& problem) {
  const analyse::ParetoGroup* best = nullptr;
  const auto rank = [](const analyse::ParetoGroup& group) {
    return std::tuple(group.points.size(), group.seq, group.threads);
  };
  for (const auto& group : report.pareto) {
    if (group.problem != problem || group.points.size() < 2) continue;
    if (best == nullptr || rank(group) > rank(*best)) best = &group;
  }
  return best;
}

std::string pareto_table(const FitReport& report, const Names& names,
                         const analyse::ParetoGroup& group) {
  constexpr std::size_t kShown = 16;
  TextTable table({{"variant"}, {"time", Align::right}, {"error", Align::right}, {"front"}});
  bool masked = false;
  std::size_t left_out = 0;
  for (const analyse::ParetoPoint& point : group.points) {
    if (group.points.size() > kShown && !point.on_front && !point.on_dense_front) {
      ++left_out;
      continue;
    }
    masked = masked || point.own_mask;
    table.add({names.of(report.series[point.series]) + (point.own_mask ? " *" : ""),
               duration_text(point.time_s), fmt::format("{:.2g}", point.error),
               point.on_dense_front ? "yes" : (point.on_front ? "own mask" : "")});
  }
  std::string out = table.text(2);
  if (left_out > 0) out += fmt::format("  and {} behind the front\n", left_out);
  if (masked) {
    out += "  * against softmax attention under its own mask: another question than the others'\n";
  }
  return out;
}

}  // namespace

std::string fit_tables(const FitReport& report) {
  const Names names(report);
  std::string out;
  for (const std::string& problem : problems_of(report)) {
    const auto section = [&](const std::string& title, const std::string& body) {
      if (!body.empty()) out += fmt::format("\n{}\n{}", title, body);
    };
    if (!out.empty()) out += '\n';
    out += problem + '\n';
    section("Growth in N (time = c + a N^exponent, 95% interval)",
            growth_table(report, names, problem));
    section("Notes", growth_notes(report, names, problem));
    section("Crossovers", crossover_table(report, names, problem));
    section("Threads, at the longest length", scaling_table(report, names, problem));
    if (const analyse::ParetoGroup* group = shown_group(report, problem)) {
      section(fmt::format("Error against time at N={}, T={}", group->seq, group->threads),
              pareto_table(report, names, *group));
    }
  }
  return out;
}

}  // namespace attnbench::cli
