// attnbench run: a sweep from configuration to files.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <set>

#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/data_files.h"
#include "cli/help.h"
#include "cli/manifest_facts.h"
#include "cli/report.h"
#include "cli/sweep_session.h"
#include "kernels/arena.h"
#include "kernels/isa.h"

namespace attnbench::cli {
namespace {

constexpr const char* kExamples =
    "\n"
    "FILE is a TOML file whose keys are the flags' names (docs/configuration.md, configs/); flags\n"
    "override it. Every case is verified against a float64 reference before it is timed.\n"
    "\n"
    "Examples:\n"
    "  attnbench run configs/quickstart.toml --out results/first\n"
    "  attnbench run --variants flash,local --seq 1k:16k:x2 --threads 1,2 --causal off,on \\\n"
    "            --param local.left=64,256 --budget 2m --out results/window\n"
    "  attnbench run --variants all --seq 32k --dry-run         # what would run, and for how "
    "long\n"
    "\n"
    "DIR gets summary.csv (one row per case), samples.csv, manifest.json. Ctrl-C keeps what was\n"
    "measured; the same command with --resume goes on. 'attnbench plot DIR' draws it.\n"
    "Exit codes: 0 good (skipped cases included); 1 a case failed, timed out or ran out of "
    "memory;\n"
    "2 usage or nothing runnable; 130 interrupted.";

/// Why nothing can run: the distinct reasons of the skipped cases.
std::string skip_reasons(const SweepPlan& plan) {
  constexpr std::size_t kShown = 3;
  std::set<std::string> reasons;
  for (const Case& cell : plan.cases) {
    if (cell.skip) reasons.insert(cell.variant->info().name + ": " + *cell.skip);
  }
  std::string text;
  std::size_t shown = 0;
  for (const std::string& reason : reasons) {
    if (shown++ == kShown) return text + "; ...";
    text += (text.empty() ? "" : "; ") + reason;
  }
  return text;
}

/// "quickstart" for configs/quickstart.toml; of a title only what is good in a file name.
std::string default_folder(const SweepConfig& config, const std::string& file) {
  std::string name = config.title;
  if (name.empty() && !file.empty()) name = std::filesystem::path(file).stem().string();
  if (name.empty()) name = "run";
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && c != '.' && c != '-') c = '_';
  }
  return "results/" + utc_now_compact() + "-" + name;
}

/// Makes a folder that nobody else has: `wanted`, or wanted-2, wanted-3, ... where runs began in
/// the same second. `wanted` where none can be made, for its error.
std::string claim_folder(const std::string& wanted) {
  constexpr int kMostRuns = 1000;
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(wanted).parent_path(), code);
  std::string folder = wanted;
  for (int n = 2; n <= kMostRuns; ++n) {
    if (std::filesystem::create_directory(folder, code)) return folder;
    if (code) break;
    folder = fmt::format("{}-{}", wanted, n);
  }
  return wanted;
}

class RunCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  Result<SweepSettings> settings(const Context& context, const SweepConfig& config) const;

  ConfigFlags flags_;
  std::string file_, out_, progress_ = "auto";
  bool resume_ = false, overwrite_ = false, dry_run_ = false, quiet_ = false;
};

void RunCommand::declare(CLI::App& app) {
  app.add_option("FILE", file_,
                 "Sweep configuration (TOML), or the name of one that comes with the tool "
                 "(quickstart); without it the flags say all.")
      ->group("Input");
  flags_.declare(app, "Variants and parameters", {"variants"});
  flags_.declare_params(app, "Variants and parameters");
  flags_.declare(
      app, "Problem axes",
      {"shape",   "seq",   "seq-k",  "mode",        "seq-q",  "batch",    "heads",      "kv-heads",
       "dim",     "dim-v", "causal", "key-lengths", "mask",   "position", "rope-pairs", "rope-base",
       "softcap", "sink",  "pass",   "input",       "layout", "scale",    "seed"});
  flags_.declare(app, "Machine", {"threads", "isa", "cache", "memory-limit"});
  flags_.declare(app, "Measurement", {"budget", "target-ci", "max-samples", "timeout", "counters"});
  add_text(app, "--out", out_, "DIR", "Folder of the run. Default: results/<time>-<title>.",
           "Output");
  flags_.declare(app, "Output", {"title", "format"});
  app.add_flag("--resume", resume_, "Go on with the unfinished run in --out DIR.")->group("Output");
  app.add_flag("--overwrite", overwrite_, "Replace the run in --out DIR.")->group("Output");
  app.add_flag("--dry-run", dry_run_,
               "Print the plan: cells, predicted time and memory, skips with reasons.")
      ->group("Output");
  add_text(app, "--progress", progress_, "auto|always|never",
           "Progress on the error stream: a line that is redrawn on a terminal, else a line per "
           "finished group. Default: auto.",
           "Output");
  app.add_flag("--quiet", quiet_, "No progress and no table; errors and warnings only.")
      ->group("Output");
  app.footer(std::string(kListGrammar) + "\n" + kExamples);
}

Result<SweepSettings> RunCommand::settings(const Context& context,
                                           const SweepConfig& config) const {
  SweepSettings settings;
  const auto style = progress_style(progress_, quiet_, context.err_is_terminal);
  if (!style) return style.error();
  settings.style = *style;
  settings.quiet = quiet_;
  settings.folder = out_.empty() ? default_folder(config, file_) : out_;
  if (resume_ && overwrite_) return usage_error("--resume and --overwrite exclude each other");
  if (resume_ && out_.empty()) return usage_error("--resume needs --out DIR of the unfinished run");
  settings.existing = resume_      ? RunDirectory::Existing::resume
                      : overwrite_ ? RunDirectory::Existing::overwrite
                                   : RunDirectory::Existing::refuse;
  return settings;
}

ExitCode RunCommand::execute(const Context& context) {
  const std::string help = "'attnbench run --help' shows what is accepted";
  const auto file = file_.empty() ? std::nullopt : std::optional<std::string>(find_config(file_));
  const auto config = load_sweep_config(file, flags_.texts(), flags_.params(), context.registry,
                                        kernels::available_cpus(), shapes_file());
  if (!config) return fail(context, config.error(), help);
  if (const Status status = kernels::select_isa(config->isa); !status) {
    return fail(context, status.error(), help);
  }
  auto chosen = settings(context, *config);
  if (!chosen) return fail(context, chosen.error(), help);
  const measure::Machine machine = measure::read_machine();
  auto captures = load_captures(config->input);
  if (!captures) return fail(context, captures.error(), help);
  SweepSession session(context, *config, machine, std::move(*captures));
  // What runs does not depend on how fast the machine is, so that is known before measuring it.
  const SweepPlan draft = session.plan();
  if (draft.runnable() == 0) {
    if (dry_run_) context.out << format_plan(draft);
    return fail_usage(context, "nothing runnable: " + skip_reasons(draft),
                      "'attnbench run ... --dry-run' shows every case with its reason");
  }
  session.measure_ceilings(dry_run_);
  const SweepPlan plan = session.plan();
  if (dry_run_) {
    context.out << format_plan(plan);
    return ExitCode::good;
  }
  if (out_.empty()) chosen->folder = claim_folder(chosen->folder);
  return session.run(plan, *chosen);
}

}  // namespace

std::unique_ptr<Command> make_run_command() { return std::make_unique<RunCommand>(); }

}  // namespace attnbench::cli
