#include "cli/compare.h"

#include <fmt/format.h>

#include <iterator>

#include "analyse/compare.h"
#include "analyse/compare_complexity.h"
#include "cli/accept.h"
#include "cli/check_output.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/run_set.h"
#include "config/sweep_config.h"
#include "record/reader.h"

namespace attnbench::cli {
namespace {

constexpr const char* kExamples =
    "BASE is the folder of a run, its summary.csv, or a folder of run folders; --base adds more.\n"
    "At least 3 base runs tell how much runs of the same code differ. Runs of different machines\n"
    "or builds are not judged. docs/compare.md explains every figure, docs/ci.md how to use it.\n"
    "\n"
    "Exit codes: 0 not slower; 1 slower, missing or newly failing; 2 usage or file error;\n"
    "3 inconclusive, or not judged (other machine, too few base runs).\n"
    "\n"
    "Examples:\n"
    "  attnbench compare results/baseline results/new        # a folder of runs, and a run\n"
    "  attnbench compare results/a results/new --base results/b --base results/c\n"
    "  attnbench compare results/baseline results/new --complexity --out results/check\n"
    "  attnbench compare results/laptop results/server --advisory";

/// The rows of both sides, and where they are from.
struct Sides {
  std::vector<RunFacts> base, head;
  std::vector<std::string> base_files, head_files, warnings;
};

class CompareCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  Result<analyse::CompareSettings> settings() const;
  Result<Sides> find() const;
  Status read(Sides& sides, analyse::CellTable& table) const;
  Status add_complexity(const Sides& sides, const analyse::CompareSettings& settings,
                        CheckReport& report) const;
  CheckReport first_report(const Sides& sides) const;
  ExitCode refuse(const Context& context, CheckReport report,
                  const std::vector<std::string>& doubts,
                  const std::vector<std::string>& formats) const;

  std::string base_, head_, margin_, alpha_, accept_, format_ = "console", out_;
  std::vector<std::string> more_bases_;
  bool advisory_ = false, complexity_ = false;
};

void CompareCommand::declare(CLI::App& app) {
  app.add_option("BASE", base_, "The stored run, or runs, to compare with.")
      ->required()
      ->group("Input");
  app.add_option("NEW", head_, "The run that may be slower.")->required()->group("Input");
  add_texts(app, "--base", more_bases_, "PATH", "A further base run; may be repeated.", "Input");
  add_text(app, "--accept", accept_, "FILE", "Accepted slowdowns (TOML, docs/ci.md).", "Input");
  add_text(app, "--margin", margin_, "FRACTION",
           "A cell may be so much slower; a pass shows that it is slower by less than 5/3 of it. "
           "Default: 3%.",
           "Decision");
  add_text(app, "--alpha", alpha_, "FRACTION",
           "Chance of a failure when nothing changed, at most. Default: 1%.", "Decision");
  app.add_flag("--complexity", complexity_,
               "Also fail when a growth exponent or a crossover got worse.")
      ->group("Decision");
  app.add_flag("--advisory", advisory_,
               "Show the numbers where they cannot be judged; the exit code stays 3.")
      ->group("Decision");
  add_text(app, "--format", format_, "LIST",
           fmt::format("What to print. Accepted: {} (comma separated). Default: console.",
                       kCheckFormats),
           "Output");
  add_text(app, "--out", out_, "DIR", "Folder for check.json, check.md and check.xml.", "Output");
  app.footer(kExamples);
}

Result<analyse::CompareSettings> CompareCommand::settings() const {
  analyse::CompareSettings settings;
  if (!margin_.empty()) {
    const auto margin = parse_fraction(margin_, "--margin");
    if (!margin) return margin.error();
    settings.margin = *margin;
  }
  if (!alpha_.empty()) {
    const auto alpha = parse_fraction(alpha_, "--alpha");
    if (!alpha) return alpha.error();
    settings.alpha = *alpha;
  }
  return settings;
}

Result<Sides> CompareCommand::find() const {
  Sides sides;
  std::vector<std::string> bases{base_};
  bases.insert(bases.end(), more_bases_.begin(), more_bases_.end());
  auto base = find_summaries(bases);
  if (!base) return base.error();
  auto head = find_summaries({head_});
  if (!head) return head.error();
  sides.base_files = std::move(*base);
  sides.head_files = std::move(*head);
  return sides;
}

Status read_side(const std::vector<std::string>& files, analyse::CellTable::Side side,
                 analyse::CellTable& table, std::vector<RunFacts>& runs,
                 std::vector<std::string>& warnings) {
  for (const std::string& file : files) {
    // A file of several runs holds them one after the other, or mixed: each run's rows are told
    // apart by where the run begins in the table.
    std::vector<std::size_t> table_runs;
    auto found = read_runs(
        file,
        [&](std::size_t run, const Record& record) -> Status {
          if (run == table_runs.size()) table_runs.push_back(table.begin_run(side));
          if (table.add(table_runs[run], record)) return ok_status();
          return io_error(fmt::format("case {} ({}) has a row already in run \"{}\"",
                                      record.case_id(), record.axes.variant, record.run_id));
        },
        warnings);
    if (!found) return found.error();
    if (found->empty()) warnings.push_back(file + " has no rows");
    for (const RunFacts& run : *found) {
      if (run.manifest && !run.manifest->complete) {
        warnings.push_back(fmt::format("{}: the run was not finished", file));
      }
      runs.push_back(run);
    }
  }
  return ok_status();
}

Status CompareCommand::read(Sides& sides, analyse::CellTable& table) const {
  using Side = analyse::CellTable::Side;
  Status base = read_side(sides.base_files, Side::base, table, sides.base, sides.warnings);
  if (!base) return base;
  return read_side(sides.head_files, Side::head, table, sides.head, sides.warnings);
}

CheckReport CompareCommand::first_report(const Sides& sides) const {
  CheckReport report;
  std::string bases = base_;
  for (const std::string& each : more_bases_) bases += ", " + each;
  report.title = fmt::format("compare {} with {}", bases, head_);
  report.base = {bases, runs_text(sides.base)};
  report.head = {head_, runs_text(sides.head)};
  report.warnings = sides.warnings;
  return report;
}

ExitCode CompareCommand::refuse(const Context& context, CheckReport report,
                                const std::vector<std::string>& doubts,
                                const std::vector<std::string>& formats) const {
  report.outcome = "NOT JUDGED";
  report.exit_code = static_cast<int>(ExitCode::inconclusive);
  report.summary.insert(report.summary.begin(), doubts.begin(), doubts.end());
  report.summary.emplace_back("--advisory shows the numbers all the same.");
  return put_report(context, report, formats, out_);
}

Result<std::vector<Record>> read_all(const std::vector<std::string>& files) {
  std::vector<Record> all;
  for (const std::string& file : files) {
    auto rows = read_summary(file);
    if (!rows) return rows.error();
    std::move(rows->begin(), rows->end(), std::back_inserter(all));
  }
  return all;
}

Status CompareCommand::add_complexity(const Sides& sides, const analyse::CompareSettings& settings,
                                      CheckReport& report) const {
  const auto base = read_all(sides.base_files);
  if (!base) return base.error();
  const auto head = read_all(sides.head_files);
  if (!head) return head.error();
  analyse::ComplexitySettings complexity;
  complexity.margin = settings.margin;
  for (const auto& [name, value] : report.figures) {
    if (name == "cell_spread") complexity.cell_sd = value;
  }
  analyse::compare_complexity(*base, *head, complexity, report);
  return ok_status();
}

ExitCode CompareCommand::execute(const Context& context) {
  const std::string help = "'attnbench compare --help' shows what is accepted";
  const auto formats = parse_check_formats(format_);
  if (!formats) return fail(context, formats.error(), help);
  const auto decision = settings();
  if (!decision) return fail(context, decision.error(), help);
  const auto accepted = accepted_of_flag(accept_);
  if (!accepted) return fail(context, accepted.error());
  auto sides = find();
  if (!sides) return fail(context, sides.error(), help);
  if (const Status cleared = clear_check_files(out_); !cleared) {
    return fail(context, cleared.error());
  }
  // Cells of machines with other instruction sets can be shown side by side, never judged.
  analyse::CellTable table(advisory_);
  if (const Status done = read(*sides, table); !done) return fail(context, done.error());

  std::vector<std::string> doubts = machine_doubts(sides->base, sides->head);
  if (table.base_runs() < analyse::kLeastBaseRuns) {
    doubts.push_back(fmt::format(
        "{} base run{}: at least {} are needed to know how much runs of the same code differ",
        table.base_runs(), table.base_runs() == 1 ? "" : "s", analyse::kLeastBaseRuns));
  }
  CheckReport report = first_report(*sides);
  if (!doubts.empty() && !advisory_) return refuse(context, std::move(report), doubts, *formats);
  report.summary = doubts;
  analyse::compare_cells(table, *decision, doubts.empty(), report);
  if (doubts.empty()) {
    if (complexity_) {
      if (const Status done = add_complexity(*sides, *decision, report); !done) {
        return fail(context, done.error());
      }
    }
    apply_accepted(*accepted, today_utc(), report);
    analyse::conclude(report);
  }
  return put_report(context, report, *formats, out_);
}

}  // namespace

std::unique_ptr<Command> make_compare_command() { return std::make_unique<CompareCommand>(); }

}  // namespace attnbench::cli
