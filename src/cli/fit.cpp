#include "cli/fit.h"

#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "analyse/fit.h"
#include "analyse/fit_output.h"
#include "cli/fit_files.h"
#include "cli/fit_tables.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/stored_run.h"

namespace attnbench::cli {
namespace {

class FitCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("RUN", run_, "Folder of a run, or a CSV file with the columns of summary.csv.")
        ->required()
        ->group("Input");
    add_text(app, "--out", out_, "DIR", "Where fit.json and fit.csv go. Default: beside the run.",
             "Output");
    app.add_flag("--json", json_, "Print what fit.json holds, one object, and no table.")
        ->group("Output");
    app.footer(
        "Growth: time = c + a N^p per series, the interval of p covering noise and lack of fit;\n"
        "the law is declared at an Akaike weight above 0.95 from 5 lengths over a factor of 16 "
        "on,\n"
        "else undetermined. The verdict compares with what the variant declares: 'faster' grows\n"
        "less. docs/analysis.md has the definitions and every key.\n"
        "Exit codes: 0 also where something is undetermined; 2 files that cannot be used.\n"
        "\n"
        "Examples:\n"
        "  attnbench fit results/first\n"
        "  attnbench fit results/first --json | jq '.crossovers[] | select(.seq)'\n"
        "  attnbench fit other/summary.csv --out analysed");
  }

  ExitCode execute(const Context& context) override {
    const auto run = read_stored_run(run_);
    if (!run) return fail(context, run.error(), "give the folder of a run, or its summary.csv");
    for (const std::string& warning : run->warnings) warn(context, warning);
    const analyse::FitReport report = analyse_stored_run(*run);
    if (report.series.empty()) warn(context, run->summary + " has no rows");
    const std::string folder = out_.empty() ? run->folder : out_;
    if (const Status written = write_fit_files(folder, report); !written) {
      // Who only wants the JSON may lack the right to write beside the run.
      if (!json_ || !out_.empty())
        return fail(context, written.error(), "--out DIR puts them elsewhere");
      warn(context, written.error().message);
    }
    if (json_) {
      context.out << analyse::fit_json(report);
      return ExitCode::good;
    }
    context.out << analyse_text(report, folder);
    return ExitCode::good;
  }

 private:
  static std::string analyse_text(const analyse::FitReport& report, const std::string& folder) {
    const std::filesystem::path path(folder);
    return fit_tables(report) +
           fmt::format("\n{}\n{}\n", (path / "fit.json").string(), (path / "fit.csv").string());
  }

  std::string run_, out_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_fit_command() { return std::make_unique<FitCommand>(); }

}  // namespace attnbench::cli
