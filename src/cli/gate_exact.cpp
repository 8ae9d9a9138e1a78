#include "cli/gate_exact.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "analyse/compare.h"
#include "analyse/exact_check.h"
#include "attention/text_parts.h"
#include "cli/process.h"
#include "cli/scratch_folder.h"
#include "measure/clock.h"
#include "run/gate_preflight.h"

namespace attnbench::cli {
namespace {

using analyse::ExactCell;
using analyse::ExactMetric;
using run::ChildFailure;

/// A call of the slowest cells under callgrind takes seconds.
constexpr double kCountTimeout_s = 600;

/// The path of a program on PATH; empty when there is none.
std::string find_program(const std::string& name) {
  const std::string path = environment_variable("PATH");
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t colon = std::min(path.find(':', from), path.size());
    const std::string folder = path.substr(from, colon - from);
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate)) {
      return candidate;
    }
    from = colon + 1;
  }
  return {};
}

/// A cell under one metric, and how a child is asked for it.
struct Subject {
  run::CaseFlags flags;
  std::string label;
  bool in_base = false, in_head = false;
  ExactCell cell;
};

/// Flags that make a cell one of one thread. Valgrind's CPU may lack the instruction set that the
/// configuration asks for, and chooses for itself.
run::CaseFlags single_threaded(run::CaseFlags flags, bool free_isa) {
  for (auto& [name, value] : flags) {
    if (name == "threads") value = "1";
  }
  if (free_isa) std::erase_if(flags, [](const auto& flag) { return flag.first == "isa"; });
  return flags;
}

class ExactGate {
 public:
  ExactGate(const Context& context, const ExactGateOptions& options, const InterruptGuard& guard,
            const ScratchFolder& scratch)
      : options_(options),
        guard_(guard),
        scratch_(scratch),
        base_{"base (" + options.base.given + ")", {options.base.binary, "gate", "child"}},
        head_{"head (" + options.head.given + ")", {options.head.binary, "gate", "child"}},
        machine_{process_environment(), {}, guard.flag()},
        printer_(context.err, options.style, context.err_columns, measure::steady_now_s),
        begin_s_(measure::steady_now_s()) {}

  std::variant<CheckReport, GateStopped> run() {
    Stop stop = prepare();
    if (!stop && options_.metrics.instructions) stop = choose_counter();
    if (!stop && options_.metrics.instructions) stop = measure(ExactMetric::instructions);
    if (!stop && options_.metrics.workspace) stop = measure(ExactMetric::workspace);
    printer_.clear();
    if (stop) return std::move(*stop);
    return report();
  }

 private:
  using Stop = std::optional<GateStopped>;

  GateStopped stopped(const ChildFailure& failure) const;
  void tell(const std::string& phase, const std::string& label, std::size_t done,
            std::size_t total);
  Stop prepare();
  Stop choose_counter();
  std::vector<Subject> subjects_of(ExactMetric metric) const;
  std::variant<OrderedJson, ChildFailure> ask(run::ChildProcess& child, const Subject& subject,
                                              const OrderedJson& request) const;
  Stop measure(ExactMetric metric);
  Stop measure_side(ExactMetric metric, bool of_base, std::vector<Subject>& subjects);
  CheckReport report() const;

  const ExactGateOptions& options_;
  const InterruptGuard& guard_;
  const ScratchFolder& scratch_;
  run::GateBuild base_, head_;
  run::GateMachine machine_;
  ProgressPrinter printer_;
  double begin_s_;
  run::Preflight preflight_;
  std::string valgrind_;  ///< Path of it, where callgrind counts.
  std::string source_;    ///< Of the counts, as a child says.
  std::vector<ExactCell> cells_;
};

GateStopped ExactGate::stopped(const ChildFailure& failure) const {
  if (failure.kind == ChildFailure::Kind::interrupted || guard_.interrupted()) return {true, {}};
  const bool refused = failure.kind == ChildFailure::Kind::refused;
  return {false, refused ? usage_error(failure.message) : io_error(failure.message)};
}

void ExactGate::tell(const std::string& phase, const std::string& label, std::size_t done,
                     std::size_t total) {
  printer_.update({static_cast<int>(done), static_cast<int>(total), label, phase,
                   measure::steady_now_s() - begin_s_, 0});
}

/// Both builds verify every cell, at full speed.
ExactGate::Stop ExactGate::prepare() {
  std::size_t tried = 0;
  auto found =
      run::gate_preflight(options_.config, base_, head_, machine_,
                          [&](const std::string& label) { tell("verify", label, tried++, 0); });
  if (auto* failure = std::get_if<ChildFailure>(&found)) return stopped(*failure);
  preflight_ = std::get<run::Preflight>(std::move(found));
  const bool any = std::ranges::any_of(preflight_.cells, [](const run::PreflightCell& cell) {
    return cell.base.call_s.has_value();
  });
  if (any) return std::nullopt;
  return GateStopped{
      false, usage_error(fmt::format(
                 "nothing to compare: {} runs none of the configuration's cells", base_.name))};
}

/// The CPU's own counter where the base may read it: both sides are counted the same way.
ExactGate::Stop ExactGate::choose_counter() {
  const std::vector<Subject> subjects = subjects_of(ExactMetric::instructions);
  const auto trial = std::ranges::find_if(subjects, &Subject::in_base);
  auto started = run::start_gate_child(base_, machine_, 0);
  if (auto* failure = std::get_if<ChildFailure>(&started)) return stopped(*failure);
  auto answer = ask(*std::get<0>(started), *trial, {{"do", "count"}, {"id", "cell"}});
  const auto* failure = std::get_if<ChildFailure>(&answer);
  if (failure == nullptr) return std::nullopt;
  if (failure->refusal != "unsupported") return stopped(*failure);
  valgrind_ = find_program("valgrind");
  if (!valgrind_.empty()) return std::nullopt;
  return GateStopped{
      false, usage_error(fmt::format(
                 "--metric instructions: no perf events ({}), and no valgrind on PATH; install the "
                 "package valgrind, or allow perf events, or ask for --metric workspace alone",
                 failure->message))};
}

std::vector<Subject> ExactGate::subjects_of(ExactMetric metric) const {
  std::vector<Subject> subjects;
  for (const run::PreflightCell& cell : preflight_.cells) {
    Subject made{
        cell.flags, cell.label, cell.base.call_s.has_value(), cell.head.call_s.has_value(), {}};
    if (!made.in_base && !made.in_head) continue;
    made.cell.metric = metric;
    made.cell.axes = cell.row.axes;
    made.cell.head_tried = !cell.head.unknown;
    if (!made.in_base) made.cell.reason = cell.base.reason;
    if (!made.in_head) made.cell.reason = cell.head.reason;
    if (metric == ExactMetric::instructions) {
      made.flags = single_threaded(std::move(made.flags), !valgrind_.empty());
      made.cell.axes.threads = 1;
      const bool known = std::ranges::any_of(
          subjects, [&](const Subject& other) { return other.flags == made.flags; });
      if (known) continue;
    }
    subjects.push_back(std::move(made));
  }
  return subjects;
}

/// What a child answers to a question about a cell, which it prepares first.
std::variant<OrderedJson, ChildFailure> ExactGate::ask(run::ChildProcess& child,
                                                       const Subject& subject,
                                                       const OrderedJson& request) const {
  const OrderedJson prepare = {
      {"do", "prepare"}, {"id", "cell"}, {"flags", subject.flags}, {"rows", 0}};
  run::Answer answer = child.ask(prepare, kCountTimeout_s);
  if (std::holds_alternative<OrderedJson>(answer)) answer = child.ask(request, kCountTimeout_s);
  if (auto* failure = std::get_if<ChildFailure>(&answer)) {
    const bool refused = failure->kind == ChildFailure::Kind::refused;
    failure->message = fmt::format("{}{} (cell {})", refused ? child.name() + ": " : "",
                                   failure->message, subject.label);
  }
  return answer;
}

ExactGate::Stop ExactGate::measure(ExactMetric metric) {
  std::vector<Subject> subjects = subjects_of(metric);
  Stop stop = measure_side(metric, true, subjects);
  if (!stop) stop = measure_side(metric, false, subjects);
  for (Subject& subject : subjects) cells_.push_back(std::move(subject.cell));
  return stop;
}

ExactGate::Stop ExactGate::measure_side(ExactMetric metric, bool of_base,
                                        std::vector<Subject>& subjects) {
  const bool counting = metric == ExactMetric::instructions;
  run::GateBuild build = of_base ? base_ : head_;
  OrderedJson request = {{"do", counting ? "count" : "workspace"}, {"id", "cell"}};
  if (counting && !valgrind_.empty()) {
    const std::string file = scratch_.file(of_base ? "base" : "head");
    const std::vector<std::string> wrapper{valgrind_, "-q", "--tool=callgrind",
                                           "--instr-atstart=no", "--callgrind-out-file=" + file};
    build.command.insert(build.command.begin(), wrapper.begin(), wrapper.end());
    request["callgrind"] = file;
  }
  auto started = run::start_gate_child(build, machine_, 0);
  if (auto* failure = std::get_if<ChildFailure>(&started)) return stopped(*failure);
  std::size_t done = 0;
  for (Subject& subject : subjects) {
    tell(fmt::format("{} of {}", to_string(metric), of_base ? "base" : "head"), subject.label,
         done++, subjects.size());
    if (!(of_base ? subject.in_base : subject.in_head)) continue;
    const auto answer = ask(*std::get<0>(started), subject, request);
    if (const auto* failure = std::get_if<ChildFailure>(&answer)) return stopped(*failure);
    const auto& told = std::get<OrderedJson>(answer);
    const double value = told.value(counting ? "instructions" : "workspace_bytes", -1.0);
    if (!(value > 0 || (value == 0 && !counting))) {
      return GateStopped{false, io_error(fmt::format("{} counted {} {} (cell {})", build.name,
                                                     value, to_string(metric), subject.label))};
    }
    (of_base ? subject.cell.base : subject.cell.head) = value;
    subject.cell.axes.isa = told.value("isa", subject.cell.axes.isa);
    if (counting) source_ = told.value("source", std::string());
  }
  return std::nullopt;
}

CheckReport ExactGate::report() const {
  CheckReport report;
  report.kind = CheckKind::exact;
  report.base = {options_.base.given, options_.base.detail};
  report.head = {options_.head.given, options_.head.detail};
  report.title =
      fmt::format("gate {} against {}, without noise", report.head.label, report.base.label);
  analyse::ExactSettings settings;
  if (options_.margin) settings = {*options_.margin, *options_.margin};
  analyse::add_exact_rows(cells_, settings, report);
  analyse::conclude(report);
  if (options_.metrics.instructions) {
    report.summary.push_back(fmt::format(
        "Instructions of one call on one thread, user space, the kernel alone (the difference "
        "between one call and none), counted by {}. Up to {:g}% more is accepted.",
        valgrind_.empty() ? "the CPU (perf events)"
                          : "callgrind, whose CPU has AVX2 and no AVX-512",
        100 * settings.instructions_margin));
    report.summary.emplace_back(
        "Instructions are not time: what waits for memory longer is not seen here.");
  }
  if (options_.metrics.workspace) {
    report.summary.push_back(fmt::format(
        "Workspace is the most that a call took of its scratch memory, to the byte. Up to {:g}% "
        "more is accepted.",
        100 * settings.workspace_margin));
  }
  return report;
}

}  // namespace

Result<GateMetrics> parse_gate_metrics(const std::string& text) {
  GateMetrics metrics;
  bool time = false;
  for (const TextPart& word : comma_parts(text)) {
    if (word.text == "instructions") {
      metrics.instructions = true;
    } else if (word.text == "workspace") {
      metrics.workspace = true;
    } else if (word.text == "time") {
      time = true;
    } else {
      return usage_error(fmt::format(
          "--metric: given \"{}\"; accepted: time, or instructions, workspace or both with a comma",
          text));
    }
  }
  if (!time || !metrics.exact()) return metrics;
  return usage_error(fmt::format(
      "--metric: given \"{}\"; time is decided by a gate of its own: run the two one after the "
      "other",
      text));
}

std::variant<CheckReport, GateStopped> run_exact_gate(const Context& context,
                                                      const ExactGateOptions& options,
                                                      const InterruptGuard& guard) {
  const auto scratch = ScratchFolder::make();
  if (!scratch) return GateStopped{false, scratch.error()};
  return ExactGate(context, options, guard, *scratch).run();
}

}  // namespace attnbench::cli
