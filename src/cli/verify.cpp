// attnbench verify: every variant against float64, without timing.
#include "run/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/help.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/text_table.h"
#include "cli/verify_grid.h"
#include "kernels/isa.h"
#include "measure/clock.h"

namespace attnbench::cli {
namespace {

/// A cell and what its verification found; `error` when it could not be run.
struct Checked {
  Case cell;
  std::optional<Verification> found;
  std::string error;
  bool passed() const { return found && found->passed; }
};

/// The variant's name, with the parameters that are not at their defaults: "local left=4".
std::string contestant(const Case& cell) {
  const VariantInfo& info = cell.variant->info();
  std::string text = info.name;
  for (const ParamSpec& spec : info.params) {
    const std::string& value = cell.params.text(spec.name);
    if (value != spec.default_text) text += " " + spec.name + "=" + value;
  }
  return text;
}

std::string figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.2e}", *value) : "-";
}

/// The rows that failed come with their reason, below the table.
void print_table(std::ostream& out, const std::vector<Checked>& all) {
  constexpr auto kRight = TextTable::Align::right;
  TextTable table({{"variant"},
                   {"problem"},
                   {"input"},
                   {"T", kRight},
                   {"definition_rel_l2", kRight},
                   {"tolerance", kRight},
                   {"error_rel_l2", kRight},
                   {"error_mean_v", kRight},
                   {"verdict"}});
  for (const Checked& each : all) {
    const auto& found = each.found;
    table.add({contestant(each.cell), each.cell.problem.describe(), each.cell.input,
               std::to_string(each.cell.threads), found ? figure(found->definition_rel_l2) : "-",
               found ? figure(found->tolerance) : "-", found ? figure(found->error_rel_l2) : "-",
               found ? figure(found->error_mean_v) : "-", each.passed() ? "ok" : "FAILED"});
  }
  out << table.text();
}

void print_details(std::ostream& out, const Checked& each) {
  if (!each.found) return;
  const Verification& found = *each.found;
  out << fmt::format("\n{} {} {}\n", contestant(each.cell), each.cell.problem.describe(),
                     each.cell.input);
  out << fmt::format("  {}, {} undecided, workspace {} bytes\n", found.error_reference,
                     found.undecided_rows, found.workspace_peak_bytes);
  out << fmt::format("  worst row: batch {} head {} query {}, off by {:.2e} of its norm\n",
                     found.worst_row.batch, found.worst_row.head, found.worst_row.query,
                     found.worst_row_rel);
  for (const HeadFigures& head : found.heads) {
    out << fmt::format("  batch {} head {}: definition_rel_l2 {:.2e}, error_rel_l2 {} ({} rows)\n",
                       head.batch, head.head, head.definition_rel_l2, figure(head.error_rel_l2),
                       head.rows);
  }
}

class VerifyCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  Result<std::vector<Case>> cells(const Context& context) const;
  std::vector<Checked> check(const Context& context, const std::vector<Case>& cells) const;
  ExitCode report(const Context& context, const std::vector<Checked>& all,
                  std::size_t skipped) const;

  ConfigFlags selection_, shape_;
  bool verbose_ = false, quiet_ = false;
};

void VerifyCommand::declare(CLI::App& app) {
  selection_.declare(app, "Variants and parameters", {"variants"});
  selection_.declare_params(app, "Variants and parameters");
  selection_.set_default("threads", "all");
  selection_.declare(app, "Machine", {"threads", "isa", "memory-limit"});
  selection_.declare(app, "Problem", {"seed"});
  shape_.declare(
      app, "Problem",
      {"shape",      "seq",       "seq-k",   "mode",   "seq-q",       "batch",  "heads",
       "kv-heads",   "dim",       "dim-v",   "causal", "key-lengths", "mask",   "position",
       "rope-pairs", "rope-base", "softcap", "sink",   "input",       "layout", "scale"});
  app.add_flag("--verbose", verbose_, "Errors of every head, and the worst row.")->group("Output");
  app.add_flag("--quiet", quiet_, "Print failures only.")->group("Output");
  app.footer(
      std::string(kListGrammar) +
      "\n\n"
      "Without problem flags a built-in grid is used: odd sizes, one query, cross and "
      "grouped-query\n"
      "attention, causal, unequal head dimensions, fully masked rows, large logits, both layouts,\n"
      "positions with soft cap and sink.\n"
      "definition_rel_l2 is the error against the variant's own definition in float64 and "
      "decides;\n"
      "error_rel_l2 is that against softmax attention, error_mean_v that of answering mean(V).\n"
      "\n"
      "Examples:\n"
      "  attnbench verify\n"
      "  attnbench verify --variants flash,full --seq 1000 --heads 8 --kv-heads 2 --causal off,on\n"
      "  attnbench verify --variants local --param left=0,7 --verbose");
}

Result<std::vector<Case>> VerifyCommand::cells(const Context& context) const {
  if (!shape_.any_given()) {
    return grid_cells(selection_.texts(), selection_.params(), context.registry);
  }
  FlagTexts texts = selection_.texts();
  texts.merge(shape_.texts());
  return planned_cells(texts, selection_.params(), context.registry);
}

std::vector<Checked> VerifyCommand::check(const Context& context,
                                          const std::vector<Case>& cells) const {
  const double begin = measure::steady_now_s();
  const bool draw = context.err_is_terminal && !quiet_;
  ProgressPrinter printer(context.err, draw ? ProgressStyle::line : ProgressStyle::none,
                          context.err_columns, measure::steady_now_s);
  const std::uint64_t seed = grid_seed(selection_.texts());
  std::vector<Checked> all;
  for (const Case& cell : cells) {
    RunProgress progress;
    progress.done = static_cast<std::int64_t>(all.size());
    progress.total = static_cast<std::int64_t>(cells.size());
    progress.current = cell.variant->info().name + " " + cell.problem.describe();
    progress.elapsed_s = measure::steady_now_s() - begin;
    const auto done = static_cast<double>(all.size());
    progress.remaining_s =
        done > 0 ? progress.elapsed_s / done * (static_cast<double>(cells.size()) - done) : 0;
    printer.update(progress);
    auto found = verify_case(cell, seed, 0);
    Checked checked{cell, std::nullopt, {}};
    if (found) {
      checked.found = std::move(*found);
      checked.error = checked.found->reason;
    } else {
      checked.error = found.error().message;
    }
    all.push_back(std::move(checked));
  }
  printer.clear();
  return all;
}

ExitCode VerifyCommand::report(const Context& context, const std::vector<Checked>& all,
                               std::size_t skipped) const {
  const auto failed = static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const Checked& each) { return !each.passed(); }));
  if (!quiet_) {
    print_table(context.out, all);
    if (verbose_) {
      for (const Checked& each : all) print_details(context.out, each);
    }
    context.out << fmt::format("\n{} verified, {} failed, {} not defined for the variant\n",
                               all.size() - failed, failed, skipped);
  }
  for (const Checked& each : all) {
    if (each.passed()) continue;
    context.err << fmt::format("attnbench: failed: {} {} {} T={}: {}\n", contestant(each.cell),
                               each.cell.problem.describe(), each.cell.input, each.cell.threads,
                               each.error);
  }
  return failed > 0 ? ExitCode::check_failed : ExitCode::good;
}

ExitCode VerifyCommand::execute(const Context& context) {
  const std::string help = "'attnbench verify --help' shows what is accepted";
  auto planned = cells(context);
  if (!planned) return fail(context, planned.error(), help);
  const FlagTexts texts = selection_.texts();
  const auto isa = texts.find("isa");
  const Status selected = kernels::select_isa(isa == texts.end() ? "auto" : isa->second);
  if (!selected) return fail(context, selected.error(), help);
  std::vector<Case> runnable;
  for (const Case& cell : *planned) {
    if (!cell.skip) {
      runnable.push_back(cell);
    } else if (verbose_) {
      context.out << fmt::format("skipped: {} {}: {}\n", cell.variant->info().name,
                                 cell.problem.describe(), *cell.skip);
    }
  }
  if (runnable.empty()) {
    return fail_usage(
        context,
        planned->empty() ? "nothing to verify" : "nothing runnable: " + *planned->front().skip,
        help);
  }
  return report(context, check(context, runnable), planned->size() - runnable.size());
}

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace attnbench::cli
