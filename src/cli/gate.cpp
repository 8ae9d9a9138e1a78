#include "cli/gate.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <ostream>
#include <random>

#include "analyse/compare.h"
#include "attention/hash.h"
#include "cli/accept.h"
#include "cli/data_files.h"
#include "cli/gate_aa.h"
#include "cli/gate_exact.h"
#include "cli/gate_session.h"
#include "cli/help.h"
#include "cli/process.h"
#include "cli/report.h"
#include "cli/scratch_folder.h"
#include "record/files.h"
#include "run/gate_child.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExamples =
    "gate ab compares two builds: processes of both take turns on the same cells, so that drift\n"
    "and neighbours fall on both; a slowdown has to be found twice, in fresh processes, before it\n"
    "fails. gate aa runs such gates of one build against itself and counts false alarms.\n"
    "docs/gate.md explains every figure.\n"
    "\n"
    "Examples:\n"
    "  attnbench gate ab --base main --head HEAD                   # two revisions of attnbench\n"
    "  attnbench gate ab --base old/attnbench --head new/attnbench --out results/gate\n"
    "  attnbench gate ab --base main --extra-budget 5m             # this build; insists on an "
    "answer\n"
    "  attnbench gate ab --base main --inject 'flash *=5%'         # a drill: must fail\n"
    "  attnbench gate ab --base main --metric instructions,workspace   # counts, no noise\n"
    "  attnbench gate aa --runs 60 --out results/gate-aa           # again to go on\n"
    "\n"
    "Exit codes: 0 not slower; 1 slower, missing or newly failing; 2 usage or file error;\n"
    "3 inconclusive, or the known slowdown was not found; 4 a copy of the base differs from it;\n"
    "130 interrupted, without a report.";

std::uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 20) ^ device();
}

/// "flash *=5%".
Result<Injection> parse_injection(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return usage_error(fmt::format(
        "--inject: given \"{}\"; accepted: PATTERN=FRACTION, such as \"flash *=5%\"", text));
  }
  const auto fraction = parse_fraction(text.substr(equals + 1), "--inject");
  if (!fraction) return fraction.error();
  return Injection{text.substr(0, equals), *fraction};
}

class GateCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  ExitCode serve(const Context& context) const;
  ExitCode compare_builds(const Context& context);
  ExitCode compare_counts(const Context& context, const GateMetrics& metrics);
  Status no_timed_flags() const;
  ExitCode stopped(const Context& context, const GateStopped& stop) const;
  ExitCode measure_itself(const Context& context);
  Result<GateOptions> options(const Context& context, const InterruptGuard& guard);
  Result<analyse::GateSettings> settings() const;
  Status clear_old_reports() const;
  ExitCode write_and_print(const Context& context, const CheckReport& report) const;

  std::string mode_, base_, head_, config_ = "ci", margin_, alpha_, budget_, extra_, out_;
  std::string progress_ = "auto", seed_, metric_ = "time", accept_;
  std::vector<std::string> injections_;
  int runs_ = 60;
  bool quiet_ = false;
};

void GateCommand::declare(CLI::App& app) {
  app.add_option("MODE", mode_,
                 "ab: is the head slower than the base? aa: how often is that wrong?")
      ->required()
      ->group("Input");
  const std::string build = "an attnbench binary, or a git revision of this repository.";
  add_text(app, "--base", base_, "BUILD",
           "What to compare with: " + build + " Required by ab; aa takes this binary by default.",
           "Input");
  add_text(app, "--head", head_, "BUILD", "What may be slower: " + build + " Default: this binary.",
           "Input");
  add_text(app, "--config", config_, "FILE",
           "The cells, as in 'run' (TOML, or the name of one that comes with the tool). "
           "Default: ci.",
           "Input");
  add_text(app, "--accept", accept_, "FILE", "Accepted slowdowns (TOML, docs/ci.md).", "Input");
  add_text(app, "--metric", metric_, "LIST",
           "time; or instructions, workspace or both: counted once, exact. Default: time.",
           "Decision");
  add_text(app, "--margin", margin_, "FRACTION",
           "A cell may be so much slower; a pass shows that it is slower by less than 5/3 of it. "
           "Default: 3%. Of counts: 1% for instructions, 0 for workspace.",
           "Decision");
  add_text(app, "--alpha", alpha_, "FRACTION",
           "Chance of a failure when nothing changed, at most. Default: 1%.", "Decision");
  add_text(app, "--budget", budget_, "TIME",
           "For screening, confirmation and controls; builds are apart. Default: 180s.",
           "Decision");
  add_text(app, "--extra-budget", extra_, "TIME",
           "For more launches of what is still inconclusive then. Default: none.", "Decision");
  add_texts(app, "--inject", injections_, "PATTERN=FRACTION",
            "A drill: more work in the head's cells that match (* and ?); may be repeated.",
            "Decision");
  add_text(app, "--seed", seed_, "INTEGER", "Of the random orders. Default: a new one each time.",
           "Decision");
  app.add_option("--runs", runs_, "Gates of aa, those in --out included. Default: 60.")
      ->option_text("INTEGER")
      ->group("Decision");
  add_text(app, "--out", out_, "DIR",
           "Folder for check.json, check.md, check.xml and launches.csv; needed by aa, which goes "
           "on with what is there.",
           "Output");
  add_text(app, "--progress", progress_, "auto|always|never",
           "Progress on the error stream, as in 'run'. Default: auto.", "Output");
  app.add_flag("--quiet", quiet_, "No progress and no table; errors and warnings only.")
      ->group("Output");
  app.footer(kExamples);
}

ExitCode GateCommand::execute(const Context& context) {
  if (mode_ == "child") return serve(context);
  if (mode_ == "ab") return compare_builds(context);
  if (mode_ == "aa") return measure_itself(context);
  return fail_usage(context, fmt::format("gate: given \"{}\"; accepted: ab, aa", mode_),
                    "'attnbench gate --help' explains both");
}

ExitCode GateCommand::serve(const Context& context) const {
  run::GateChild child(context.registry);
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    context.out << child.answer(line) << std::endl;
  }
  return ExitCode::good;
}

Result<analyse::GateSettings> GateCommand::settings() const {
  analyse::GateSettings settings;
  const auto set = [](const std::string& text, const char* flag, auto parse,
                      double& target) -> Status {
    if (text.empty()) return ok_status();
    const Result<double> value = parse(text, flag);
    if (!value) return value.error();
    target = *value;
    return ok_status();
  };
  Status status = set(margin_, "--margin", parse_fraction, settings.margin);
  if (status) status = set(alpha_, "--alpha", parse_fraction, settings.alpha);
  if (status) status = set(budget_, "--budget", parse_duration, settings.budget_s);
  if (status && extra_ != "0" && extra_ != "0s") {
    status = set(extra_, "--extra-budget", parse_duration, settings.extra_budget_s);
  }
  if (!status) return status.error();
  if (settings.alpha > 0.2) {
    return usage_error(fmt::format("--alpha: given {}; accepted: at most 20%", alpha_));
  }
  return settings;
}

Result<GateOptions> GateCommand::options(const Context& context, const InterruptGuard& guard) {
  GateOptions options;
  const auto style = progress_style(progress_, quiet_, context.err_is_terminal);
  if (!style) return style.error();
  options.style = *style;
  const auto chosen = settings();
  if (!chosen) return chosen.error();
  options.settings = *chosen;
  for (const std::string& text : injections_) {
    auto injection = parse_injection(text);
    if (!injection) return injection.error();
    options.injections.push_back(std::move(*injection));
  }
  options.seed = fresh_seed();
  if (!seed_.empty()) {
    const auto list = parse_integer_list(seed_, "--seed", 0, std::int64_t{1} << 53);
    if (!list) return list.error();
    options.seed = static_cast<std::uint64_t>(list->front());
  }
  options.config.name = find_config(config_);
  auto toml = read_file(options.config.name);
  if (!toml) return toml.error();
  options.config.toml = std::move(*toml);

  const std::string self = fs::read_symlink("/proc/self/exe").string();
  const auto say = [&](const std::string& text) {
    if (!quiet_) context.err << "attnbench: " << text << std::endl;
  };
  for (const auto& [text, flag, build] :
       {std::tuple{&base_, "--base", &options.base}, std::tuple{&head_, "--head", &options.head}}) {
    auto found = find_build(text->empty() ? self : *text, flag, say);
    if (!found) return found.error();
    if (text->empty()) found->given = "this build";
    *build = std::move(*found);
    if (guard.interrupted()) break;
  }
  return options;
}

/// A report of an earlier gate must not be taken for this one's, should this one be killed.
Status GateCommand::clear_old_reports() const {
  if (out_.empty()) return ok_status();
  for (const char* name : {"check.json", "check.md", "check.xml", "launches.csv"}) {
    std::error_code code;
    fs::remove(fs::path(out_) / name, code);
    if (code) return io_error(fmt::format("{}/{}: {}", out_, name, code.message()));
  }
  return ok_status();
}

ExitCode GateCommand::write_and_print(const Context& context, const CheckReport& report) const {
  if (!out_.empty()) {
    if (const Status written = write_check_files(report, out_); !written) {
      return fail(context, written.error());
    }
  }
  if (!quiet_) context.out << check_console(report);
  if (!environment_variable("GITHUB_ACTIONS").empty()) context.out << check_annotations(report);
  if (quiet_) {  // The table has them otherwise.
    for (const std::string& warning : report.warnings) warn(context, warning);
  }
  return static_cast<ExitCode>(report.exit_code);
}

ExitCode GateCommand::stopped(const Context& context, const GateStopped& stop) const {
  if (!stop.interrupted) return fail(context, stop.error);
  context.err << "attnbench: interrupted: a gate that is not finished has no report\n";
  return ExitCode::interrupted;
}

/// An error when a flag is given that means nothing without times.
Status GateCommand::no_timed_flags() const {
  for (const auto& [name, given] :
       {std::pair{"--alpha", !alpha_.empty()}, std::pair{"--budget", !budget_.empty()},
        std::pair{"--extra-budget", !extra_.empty()}, std::pair{"--inject", !injections_.empty()},
        std::pair{"--seed", !seed_.empty()}}) {
    if (given) return usage_error(fmt::format("{} is for --metric time alone", name));
  }
  return ok_status();
}

ExitCode GateCommand::compare_counts(const Context& context, const GateMetrics& metrics) {
  const std::string help = "'attnbench gate --help' shows what is accepted";
  if (const Status plain = no_timed_flags(); !plain) return fail(context, plain.error(), help);
  const auto accepted = accepted_of_flag(accept_);
  if (!accepted) return fail(context, accepted.error());
  const InterruptGuard guard;
  auto chosen = options(context, guard);
  if (guard.interrupted()) return ExitCode::interrupted;
  if (!chosen) return fail(context, chosen.error(), help);
  if (const Status cleared = clear_old_reports(); !cleared) return fail(context, cleared.error());
  ExactGateOptions exact{std::move(chosen->base),
                         std::move(chosen->head),
                         std::move(chosen->config),
                         metrics,
                         std::nullopt,
                         chosen->style};
  if (!margin_.empty()) exact.margin = chosen->settings.margin;
  auto outcome = run_exact_gate(context, exact, guard);
  if (const auto* stop = std::get_if<GateStopped>(&outcome)) return stopped(context, *stop);
  auto& report = std::get<CheckReport>(outcome);
  apply_accepted(*accepted, today_utc(), report);
  analyse::conclude(report);
  return write_and_print(context, report);
}

ExitCode GateCommand::compare_builds(const Context& context) {
  const std::string help = "'attnbench gate --help' shows what is accepted";
  if (base_.empty()) {
    return fail_usage(context, "gate ab: --base BUILD is required: what to compare with", help);
  }
  const auto metrics = parse_gate_metrics(metric_);
  if (!metrics) return fail(context, metrics.error(), help);
  if (metrics->exact()) return compare_counts(context, *metrics);
  const auto accepted = accepted_of_flag(accept_);
  if (!accepted) return fail(context, accepted.error());
  const InterruptGuard guard;
  auto chosen = options(context, guard);
  if (guard.interrupted()) return ExitCode::interrupted;
  if (!chosen) return fail(context, chosen.error(), help);
  if (const Status cleared = clear_old_reports(); !cleared) return fail(context, cleared.error());
  const auto scratch = ScratchFolder::make();
  if (!scratch) return fail(context, scratch.error());
  const auto copy = scratch->copy_of(chosen->base.binary);
  if (!copy) return fail(context, copy.error());
  auto outcome = GateSession(context, std::move(*chosen), *copy, guard).run();
  if (const auto* stop = std::get_if<GateStopped>(&outcome)) return stopped(context, *stop);
  auto& run = std::get<GateRun>(outcome);
  if (!accepted->empty()) {
    apply_accepted(*accepted, today_utc(), run.report);
    analyse::conclude_gate(run.result, run.report);
  }
  if (!out_.empty()) {
    std::error_code code;
    fs::create_directories(out_, code);
    const Status written = write_file_atomically((fs::path(out_) / "launches.csv").string(),
                                                 launches_csv(run.launches));
    if (!written) return fail(context, written.error());
  }
  return write_and_print(context, run.report);
}

ExitCode GateCommand::measure_itself(const Context& context) {
  const std::string help = "'attnbench gate --help' shows what is accepted";
  if (out_.empty()) {
    return fail_usage(context, "gate aa: --out DIR is required: it keeps the finished gates", help);
  }
  if (!head_.empty() || !injections_.empty() || metric_ != "time" || !accept_.empty()) {
    return fail_usage(context,
                      "gate aa: times --base against itself; --head, --inject, --metric and "
                      "--accept are of ab",
                      help);
  }
  if (runs_ < 1) return fail_usage(context, "--runs: accepted: at least 1", help);
  head_ = base_;
  const InterruptGuard guard;
  auto chosen = options(context, guard);
  if (guard.interrupted()) return ExitCode::interrupted;
  if (!chosen) return fail(context, chosen.error(), help);
  std::error_code code;
  fs::create_directories(out_, code);
  const auto lock = DirectoryLock::take(out_);
  if (!lock) return fail(context, lock.error());
  const auto scratch = ScratchFolder::make();
  if (!scratch) return fail(context, scratch.error());
  const auto copy = scratch->copy_of(chosen->base.binary);
  if (!copy) return fail(context, copy.error());

  const auto program = read_file(chosen->base.binary);
  if (!program) return fail(context, program.error());
  const analyse::GateSettings& figures = chosen->settings;
  const std::string setup = hex16(fnv1a64(
      fmt::format("{:016x} {} {} {} {} {}", fnv1a64(*program), chosen->config.toml, figures.margin,
                  figures.alpha, figures.budget_s, figures.extra_budget_s)));
  const std::string path = (fs::path(out_) / "gates.jsonl").string();
  auto gates = read_null_gates(path, setup);
  if (!gates) return fail(context, gates.error());
  if (!fs::exists(path)) {
    if (const Status made = write_file_atomically(path, ""); !made) {
      return fail(context, made.error());
    }
  }
  auto file = AppendFile::open(path);
  if (!file) return fail(context, file.error());
  // A line that a kill cut short ends here; it counts for nothing.
  if (const Status status = file->append("\n"); !status) return fail(context, status.error());
  bool interrupted = false;
  while (static_cast<int>(gates->size()) < runs_) {
    GateOptions each = *chosen;
    each.seed += gates->size();
    auto outcome = GateSession(context, std::move(each), *copy, guard).run();
    if (const auto* stop = std::get_if<GateStopped>(&outcome)) {
      if (!stop->interrupted) return fail(context, stop->error);
      interrupted = true;
      break;
    }
    const auto& run = std::get<GateRun>(outcome);
    const NullGate gate{run.report.exit_code, run.report.outcome, run.result.elapsed_s,
                        run.result.launch_spread};
    if (const Status status = file->append(null_gate_line(gate, setup)); !status) {
      return fail(context, status.error());
    }
    gates->push_back(gate);
    if (!quiet_) {
      context.err << fmt::format("attnbench: gate {} of {}: {}\n", gates->size(), runs_,
                                 gate.outcome);
    }
  }
  const CheckSide side{chosen->base.given, chosen->base.detail};
  const ExitCode shown = write_and_print(context, aa_report(*gates, side, runs_));
  return interrupted ? ExitCode::interrupted : shown;
}

}  // namespace

std::unique_ptr<Command> make_gate_command() { return std::make_unique<GateCommand>(); }

}  // namespace attnbench::cli
