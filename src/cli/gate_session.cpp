#include "cli/gate_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "analyse/gate_quad.h"
#include "analyse/series.h"
#include "cli/process.h"
#include "cli/report.h"
#include "config/accepted.h"
#include "measure/clock.h"
#include "measure/policy.h"

namespace attnbench::cli {
namespace {

using analyse::GateCell;
using run::ChildFailure;

/// A sample lasts at least this long, and 1000 steps of the clock.
constexpr double kMinSample_s = 5e-3;
/// Builds this close run the same number of iterations, so that nothing but the code differs: a
/// shorter sample has a larger share of what the first call after a switch costs.
constexpr double kSameIterations = 4;
constexpr std::size_t kMostPaddingBytes = 4096;

template <class T>
void shuffle(std::vector<T>& items, analyse::Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.index(i)]);
}

GateCell::State state_of(const run::PreflightCell& cell) {
  if (cell.head.call_s)
    return cell.base.call_s ? GateCell::State::compared : GateCell::State::added;
  return cell.head.unknown ? GateCell::State::missing : GateCell::State::failed;
}

std::string on_one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::string csv_quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string launches_csv(const std::vector<LaunchLine>& lines) {
  std::string text = "stage,launch,what,cell,base_s,head_s,log_ratio\r\n";
  for (const LaunchLine& line : lines) {
    text += fmt::format("{},{},{},{},{:.9g},{:.9g},{}\r\n", line.stage, line.launch, line.what,
                        csv_quoted(line.label), line.base_s, line.head_s,
                        line.log_ratio ? fmt::format("{:.9g}", *line.log_ratio) : "");
  }
  return text;
}

GateSession::GateSession(const Context& context, GateOptions options, std::string copy,
                         const InterruptGuard& guard)
    : context_(context),
      options_(std::move(options)),
      guard_(guard),
      base_{"base (" + options_.base.given + ")", {options_.base.binary, "gate", "child"}},
      head_{"head (" + options_.head.given + ")", {options_.head.binary, "gate", "child"}},
      copy_{"copy of base (" + options_.base.given + ")", {std::move(copy), "gate", "child"}},
      machine_{process_environment(), {}, guard.flag()},
      random_(options_.seed),
      printer_(context.err, options_.style, context.err_columns, measure::steady_now_s),
      begin_s_(measure::steady_now_s()) {
  story_.base = {options_.base.given, options_.base.detail};
  story_.head = {options_.head.given, options_.head.detail};
  if (options_.base.made_of != options_.head.made_of) {
    story_.warnings.push_back("the builds differ in more than their code: the base was " +
                              on_one_line(options_.base.made_of) + "; the head was " +
                              on_one_line(options_.head.made_of));
  }
}

double GateSession::elapsed_s() const { return measure::steady_now_s() - begin_s_; }

void GateSession::tell(const std::string& phase, int done, int total, double remaining_s) {
  printer_.update({done, total, "", phase, elapsed_s(), remaining_s});
}

GateStopped GateSession::stopped(const ChildFailure& failure) const {
  if (failure.kind == ChildFailure::Kind::interrupted || guard_.interrupted()) return {true, {}};
  const bool usage = failure.kind == ChildFailure::Kind::refused;
  return {false, usage ? usage_error(failure.message) : io_error(failure.message)};
}

std::variant<GateRun, GateStopped> GateSession::run() {
  auto stop = prepare();
  if (!stop) stop = calibrate();
  if (!stop) stop = measure();
  printer_.clear();
  if (stop) return std::move(*stop);
  return finish();
}

std::optional<GateStopped> GateSession::prepare() {
  int tried = 0;
  auto found =
      run::gate_preflight(options_.config, base_, head_, machine_, [&](const std::string& label) {
        printer_.update({tried++, 0, label, "verify", elapsed_s(), 0});
      });
  if (auto* failure = std::get_if<ChildFailure>(&found)) return stopped(*failure);
  const auto& preflight = std::get<run::Preflight>(found);
  int threads = 1;
  for (const run::PreflightCell& cell : preflight.cells) {
    const std::string label = analyse::cell_label(cell.row.axes);
    if (!cell.base.call_s && !cell.head.call_s) {
      story_.warnings.push_back(label + " runs in neither build: " + cell.base.reason);
      continue;
    }
    GateCell told{state_of(cell), cell.row.axes,    "",
                  std::nullopt,   cell.base.call_s, cell.head.call_s};
    if (told.state == GateCell::State::added) told.reason = cell.base.reason;
    if (!cell.head.call_s) told.reason = cell.head.reason;
    if (told.state == GateCell::State::compared) {
      told.outcome = compared_.size();
      Compared compared;
      compared.cell = story_.cells.size();
      compared.flags = cell.flags;
      compared.label = label;
      const auto iterations = [&](double call_s) {
        return measure::inner_iterations(call_s, kMinSample_s, preflight.clock_resolution_s);
      };
      const double head_call_s = *cell.head.call_s;
      compared.call_s = *cell.base.call_s;
      const double faster_s = std::min(compared.call_s, head_call_s);
      const double slower_s = std::max(compared.call_s, head_call_s);
      const bool same = slower_s < kSameIterations * faster_s;
      compared.base_iterations = iterations(same ? faster_s : compared.call_s);
      compared.head_iterations = iterations(same ? faster_s : head_call_s);
      compared_.push_back(std::move(compared));
      threads = std::max(threads, cell.row.axes.threads);
    }
    story_.cells.push_back(std::move(told));
  }
  if (story_.cells.empty()) {
    return GateStopped{false, usage_error("the configuration has no cell that either build runs")};
  }
  const bool lost = std::ranges::any_of(
      story_.cells, [](const GateCell& cell) { return cell.state != GateCell::State::added; });
  if (!lost) {
    return GateStopped{
        false, usage_error(fmt::format(
                   "nothing to compare: {} runs none of the configuration's cells", base_.name))};
  }
  machine_.cpus = run::last_cpus(threads);
  return std::nullopt;
}

std::optional<GateStopped> GateSession::calibrate() {
  if (compared_.empty()) return std::nullopt;
  for (std::size_t i = 0; i < compared_.size(); ++i) {
    if (compared_[i].call_s < compared_[control_].call_s) control_ = i;
  }
  story_.control_label = compared_[control_].label;
  const auto units = [&](std::size_t i, const run::GateBuild& build, double fraction,
                         std::int64_t& result) -> std::optional<GateStopped> {
    auto found = run::gate_calibrate(compared_[i].flags, build, machine_);
    if (auto* failure = std::get_if<ChildFailure>(&found)) return stopped(*failure);
    result = std::llround(fraction * std::get<double>(found));
    return std::nullopt;
  };
  if (auto stop = units(control_, copy_, options_.settings.positive_work(), control_units_)) {
    return stop;
  }
  for (const Injection& injection : options_.injections) {
    bool any = false;
    for (std::size_t i = 0; i < compared_.size(); ++i) {
      if (!glob_matches(injection.pattern, compared_[i].label)) continue;
      any = true;
      if (auto stop = units(i, head_, injection.fraction, compared_[i].extra_units)) return stop;
    }
    if (!any) {
      return GateStopped{false, usage_error(fmt::format("--inject {}: matches no cell; the first "
                                                        "one is \"{}\"",
                                                        injection.pattern, compared_[0].label))};
    }
  }
  return std::nullopt;
}

run::CellTask GateSession::task_of(std::size_t compared, bool control, std::int64_t extra_units) {
  const Compared& cell = compared_[compared];
  run::CellTask task;
  task.cell = compared;
  task.flags = cell.flags;
  task.control = control;
  task.base_first = random_.uniform() < 0.5;
  task.base_iterations = cell.base_iterations;
  task.head_iterations = control ? cell.base_iterations : cell.head_iterations;
  task.head_extra_units = extra_units;
  task.expected_s = cell.call_s * static_cast<double>(cell.base_iterations);
  return task;
}

void GateSession::note_head_failure(std::size_t compared, const run::LaunchFailure& failure) {
  lost_head_ = true;
  GateCell& cell = story_.cells[compared_[compared].cell];
  cell.state = GateCell::State::failed;
  cell.reason = failure.failure.message;
  story_.warnings.push_back("the gate ended early: " + failure.failure.message);
}

std::variant<analyse::LaunchValues, GateStopped> GateSession::launch(
    const analyse::LaunchRequest& request) {
  enum class What { cell, aa, positive };
  struct Job {
    What what;
    std::size_t at;  ///< Into request.cells.
  };
  std::vector<Job> jobs;
  for (std::size_t k = 0; k < request.cells.size(); ++k) jobs.push_back({What::cell, k});
  if (request.controls) jobs.insert(jobs.end(), {{What::aa, 0}, {What::positive, 0}});
  shuffle(jobs, random_);
  run::LaunchTask task;
  task.padding_bytes = random_.index(kMostPaddingBytes);
  task.head_starts_first = random_.uniform() < 0.5;
  for (const Job& job : jobs) {
    const bool control = job.what != What::cell;
    const std::size_t cell = control ? control_ : request.cells[job.at];
    const std::int64_t units = job.what == What::cell       ? compared_[cell].extra_units
                               : job.what == What::positive ? control_units_
                                                            : 0;
    task.cells.push_back(task_of(cell, control, units));
  }

  const run::GateLauncher launcher(base_, head_, copy_, machine_);
  auto outcome = launcher.launch(task);
  if (auto* failure = std::get_if<run::LaunchFailure>(&outcome)) {
    const bool head = failure->side == run::LaunchFailure::Side::head;
    const bool asked_to_stop =
        failure->failure.kind == ChildFailure::Kind::interrupted || guard_.interrupted();
    if (head && failure->cell && !asked_to_stop) note_head_failure(*failure->cell, *failure);
    if (failure->cell) {
      failure->failure.message += " (cell " + compared_[*failure->cell].label + ")";
    }
    return stopped(failure->failure);
  }
  const auto& samples = std::get<run::LaunchSamples>(outcome);
  analyse::LaunchValues values;
  values.cells.resize(request.cells.size());
  values.cell_seconds.resize(request.cells.size());
  values.elapsed_s = samples.elapsed_s;
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    const Job& job = jobs[j];
    Compared& cell = compared_[task.cells[j].cell];
    std::vector<analyse::Quad> quads;
    for (const run::QuadSamples& quad : samples.cells[j].quads) {
      quads.push_back({quad.base_first, quad.seconds});
    }
    const std::optional<double> value = analyse::launch_value(quads);
    LaunchLine line{
        std::string(to_string(request.stage)), request.launch, "cell", cell.label, 0, 0, value};
    if (value) {
      line.base_s = std::sqrt(quads[0].base_s() * quads[1].base_s());
      line.head_s = std::sqrt(quads[0].head_s() * quads[1].head_s());
    }
    if (job.what == What::cell) {
      values.cells[job.at] = value;
      values.cell_seconds[job.at] = samples.cells[j].elapsed_s;
      if (value) {
        cell.base_times.push_back(line.base_s);
        cell.head_times.push_back(line.head_s);
      }
    } else {
      line.what = job.what == What::aa ? "A/A" : "positive";
      (job.what == What::aa ? values.aa : values.positive) = value;
    }
    lines_.push_back(std::move(line));
  }
  return values;
}

void GateSession::tell_launch(const analyse::LaunchRequest& request) {
  tell(std::string(to_string(request.stage)), request.launch, request.launches,
       request.remaining_s);
}

std::optional<GateStopped> GateSession::measure() {
  if (compared_.empty()) return std::nullopt;
  const double samples_s = std::accumulate(
      compared_.begin(), compared_.end(), 0.0, [](double sum, const Compared& cell) {
        return sum + 8 * cell.call_s * static_cast<double>(cell.base_iterations + 1);
      });
  const double screen_s = options_.settings.screen_launches * samples_s;
  const double spent_s = elapsed_s();
  if (screen_s > options_.settings.budget_s) {
    return GateStopped{
        false, usage_error(fmt::format(
                   "the {} cells of {} need {:.0f} s for {} launches, more than --budget {:.0f}s: "
                   "give more time, or fewer or shorter cells",
                   compared_.size(), options_.config.name, screen_s,
                   options_.settings.screen_launches, options_.settings.budget_s))};
  }
  procedure_.emplace(options_.settings, compared_.size(), control_, spent_s);
  while (const auto request = procedure_->next()) {
    tell_launch(*request);
    auto outcome = launch(*request);
    if (auto* stop = std::get_if<GateStopped>(&outcome)) {
      if (lost_head_) return std::nullopt;
      return std::move(*stop);
    }
    procedure_->feed(std::get<analyse::LaunchValues>(outcome));
    printer_.group_finished();
  }
  return std::nullopt;
}

GateRun GateSession::finish() {
  GateRun run;
  if (procedure_) run.result = procedure_->result();
  if (lost_head_) {
    for (analyse::CellOutcome& cell : run.result.cells) {
      if (cell.launches == 0) cell.reason = "the gate ended before it was decided";
    }
  }
  for (const Compared& compared : compared_) {
    if (compared.base_times.empty()) continue;
    GateCell& cell = story_.cells[compared.cell];
    cell.base_s = measure::median(compared.base_times);
    cell.head_s = measure::median(compared.head_times);
  }
  for (const Injection& injection : options_.injections) {
    story_.warnings.push_back(
        fmt::format("--inject put {:+.1f}% of work into the head's cells that match \"{}\"",
                    100 * injection.fraction, injection.pattern));
  }
  run.report = analyse::gate_report(options_.settings, run.result, story_);
  run.report.figures.emplace_back("seed", static_cast<double>(options_.seed));
  run.launches = std::move(lines_);
  return run;
}

}  // namespace attnbench::cli
