#include "cli/sweep_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <ostream>

#include "cli/manifest_facts.h"
#include "cli/report.h"
#include "measure/clock.h"
#include "record/markdown.h"
#include "run/runner.h"

namespace attnbench::cli {
namespace {

std::string new_run_id() { return fmt::format("{}-{:05}", utc_now_compact(), ::getpid() % 100000); }

std::string counts_text(const std::vector<Record>& records) {
  std::map<RowStatus, int> counts;
  for (const Record& record : records) ++counts[record.status];
  std::string text;
  for (const auto& [status, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, to_string(status));
  }
  return text;
}

bool any_failure(const std::vector<Record>& records) {
  return std::any_of(records.begin(), records.end(),
                     [](const Record& record) { return !record.finished(); });
}

}  // namespace

SweepSession::SweepSession(const Context& context, SweepConfig config, measure::Machine machine,
                           CaptureSet captures)
    : context_(context),
      config_(std::move(config)),
      captures_(std::move(captures)),
      machine_(std::move(machine)),
      begin_(measure::noise_snapshot()),
      begin_s_(measure::steady_now_s()) {}

double SweepSession::elapsed_s() const { return measure::steady_now_s() - begin_s_; }

void SweepSession::measure_ceilings(bool brief) {
  // A few percent of the budget: enough for the best of several bursts, little beside the sweep.
  constexpr double kBriefSeconds = 0.3;
  constexpr double kMostSeconds = 2.0;
  const double seconds =
      brief ? kBriefSeconds : std::clamp(0.03 * config_.budget_s, kBriefSeconds, kMostSeconds);
  std::vector<int> threads{1};
  for (const std::int64_t count : config_.threads) {
    if (count != 1) threads.push_back(static_cast<int>(count));
  }
  const double begin_s = measure::steady_now_s();
  ceilings_ = attnbench::measure_ceilings(threads, data_caches(machine_), seconds);
  ceilings_s_ = measure::steady_now_s() - begin_s;
}

SweepPlan SweepSession::plan() const {
  const double limit = config_.memory_limit_bytes.value_or(
      0.9 * static_cast<double>(measure::available_memory_bytes()));
  return make_plan(config_, context_.registry, plan_rates(ceilings_, machine_), limit, captures_);
}

Manifest SweepSession::first_manifest(const std::optional<Manifest>& earlier) const {
  Manifest manifest = manifest_facts(context_, machine_, ceilings_);
  manifest.run_id = earlier ? earlier->run_id : new_run_id();
  manifest.started_at = earlier ? earlier->started_at : utc_now();
  manifest.config_toml = to_toml(config_);
  manifest.seed = config_.seed;
  return manifest;
}

RunOutcome SweepSession::sweep(const SweepPlan& plan, const SweepSettings& settings,
                               const std::vector<std::string>& done, RunDirectory& directory,
                               const std::string& run_id, Status& written) {
  ProgressPrinter printer(context_.err, settings.style, context_.err_columns,
                          measure::steady_now_s);
  RunOptions options;
  options.config = config_;
  // The budget is for all of it: what the ceilings took is spent.
  options.config.budget_s = std::max(0.5 * config_.budget_s, config_.budget_s - elapsed_s());
  options.run_id = run_id;
  options.done_case_ids = done;
  options.interrupted = guard_.flag();
  options.progress = [&](const RunProgress& progress) { printer.update(progress); };
  options.finished = [&](const std::vector<Record>& records,
                         const std::vector<SampleRow>& samples) {
    Status status = directory.append(records, samples);
    if (!status && written) {
      // Measuring on without a place for the results would waste the time of a full sweep.
      written = std::move(status);
      guard_.stop();
    }
    printer.group_finished();
  };
  const RunOutcome outcome = run_sweep(plan, ceilings_, options);
  printer.clear();
  return outcome;
}

void SweepSession::complete_manifest(Manifest& manifest, const RunOutcome& outcome) const {
  const measure::NoiseFigures noise =
      measure::noise_between(begin_, measure::noise_snapshot(), machine_.cores);
  manifest.finished_at = utc_now();
  manifest.complete = !outcome.interrupted;
  manifest.noise = noise_map(noise);
  const double wall_s = elapsed_s();
  manifest.timing = {{"wall_s", wall_s},
                     {"timed_s", outcome.timed_s},
                     {"timed_fraction", outcome.timed_s / wall_s},
                     {"ceilings_s", ceilings_s_},
                     {"inputs_s", outcome.phases.inputs_s},
                     {"prepare_s", outcome.phases.prepare_s},
                     {"first_call_s", outcome.phases.first_call_s},
                     {"reference_s", outcome.phases.reference_s},
                     {"pilot_s", outcome.phases.pilot_s},
                     {"warm_s", outcome.phases.warm_s},
                     {"clock_s", outcome.phases.clock_s},
                     {"files_s", outcome.phases.files_s}};
  manifest.warnings = measure::doubtful_circumstances(machine_, noise);
  manifest.warnings.insert(manifest.warnings.end(), outcome.warnings.begin(),
                           outcome.warnings.end());
}

void SweepSession::print_summary(const RunDirectory& directory, const RunOutcome& outcome) const {
  const double wall_s = elapsed_s();
  context_.out << console_table(directory.records()) << '\n';
  context_.out << fmt::format("{}; {} in all, {:.0f}% of it timing kernels\n",
                              counts_text(directory.records()), duration_text(wall_s),
                              100 * outcome.timed_s / wall_s);
  context_.out << "files: " << directory.file("summary.csv") << ", samples.csv, manifest.json\n";
  context_.out << (outcome.interrupted
                       ? "interrupted: the same command with --resume finishes the run\n"
                       : "plots: attnbench plot " + shell_quoted({directory.path()}) + "\n");
}

ExitCode SweepSession::run(const SweepPlan& plan, const SweepSettings& settings) {
  auto directory = RunDirectory::create(settings.folder, settings.existing);
  if (!directory) {
    return fail(context_, directory.error(),
                "--resume goes on with an unfinished run, --overwrite replaces it");
  }
  Manifest manifest = first_manifest(std::nullopt);
  std::vector<std::string> done;
  if (settings.existing == RunDirectory::Existing::resume) {
    const auto state = directory->load_for_resume(manifest.config_toml, manifest.fingerprint());
    if (!state) return fail(context_, state.error(), "choose another --out, or --overwrite");
    manifest = first_manifest(state->manifest);
    done = state->done_case_ids;
  }
  Status written = directory->append({}, {});
  if (written) written = directory->write_manifest(manifest);
  if (!written) return fail(context_, written.error());

  const RunOutcome outcome = sweep(plan, settings, done, *directory, manifest.run_id, written);
  if (!written) return fail(context_, written.error(), "free space, then use --resume");
  complete_manifest(manifest, outcome);
  written = directory->write_extra(config_.formats);
  if (written) written = directory->write_manifest(manifest);
  if (!written) return fail(context_, written.error());
  if (!settings.quiet) print_summary(*directory, outcome);
  for (const std::string& warning : manifest.warnings) warn(context_, warning);
  if (outcome.interrupted) return ExitCode::interrupted;
  return any_failure(directory->records()) ? ExitCode::check_failed : ExitCode::good;
}

}  // namespace attnbench::cli
