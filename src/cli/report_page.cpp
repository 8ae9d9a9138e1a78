// attnbench report: a run as one HTML page, written by the Python package plot/.
#include <string>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/plot_package.h"

namespace attnbench::cli {
namespace {

class ReportCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("DIR", run_, "Folder of a run, with its summary.csv.")
        ->required()
        ->group("Input");
    add_text(app, "--out", out_, "FILE",
             "Where the page goes. Default: report.html in the run's folder.", "Output");
    app.footer(std::string("One file that opens without a network: summary, environment and "
                           "warnings, all figures,\n"
                           "sortable tables of rows, growth laws, crossovers, thread scaling and "
                           "error against time,\n"
                           "what was not measured and why, and how to rerun each row.\n") +
               kPythonSearch +
               "\n"
               "Examples:\n"
               "  attnbench report results/quickstart\n"
               "  attnbench report results/quickstart --out pages/quickstart.html\n"
               "  attnbench report other/summary.csv --out other.html");
  }

  ExitCode execute(const Context& context) override {
    std::vector<std::string> arguments;
    if (!out_.empty()) arguments.insert(arguments.end(), {"--out", out_});
    return run_plot_package(context, "plot.report", run_, "", arguments);
  }

 private:
  std::string run_, out_;
};

}  // namespace

std::unique_ptr<Command> make_report_command() { return std::make_unique<ReportCommand>(); }

}  // namespace attnbench::cli
