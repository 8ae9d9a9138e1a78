// attnbench plot: hands a run to the Python package plot/.
#include <filesystem>
#include <string>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/plot_package.h"

namespace attnbench::cli {
namespace {

class PlotCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("DIR", run_, "Folder of a run, with its summary.csv.")
        ->required()
        ->group("Input");
    add_text(app, "--charts", charts_, "LIST",
             "Of time, growth, exponents, crossovers, workspace, speedup, efficiency, roofline, "
             "share, pareto, parameters; comma separated. Default: all.",
             "Output");
    add_text(app, "--out", out_, "DIR",
             "Where the figures and fit.json go. Default: the run's folder.", "Output");
    add_text(app, "--formats", formats_, "LIST",
             "Of png, svg, pdf; comma separated. Default: png,svg.", "Output");
    app.footer(std::string("docs/plots.md says what each figure shows. The run is analysed as by "
                           "'attnbench fit',\nwhose files are left beside the figures.\n") +
               kPythonSearch +
               "\n"
               "Examples:\n"
               "  attnbench plot results/quickstart\n"
               "  attnbench plot results/quickstart --charts time,growth --formats svg --out "
               "figures\n"
               "  ATTNBENCH_PYTHON=/opt/py/bin/python3 attnbench plot results/quickstart");
  }

  ExitCode execute(const Context& context) override {
    std::vector<std::string> arguments;
    if (!out_.empty()) arguments.insert(arguments.end(), {"--out", out_});
    if (!charts_.empty()) arguments.insert(arguments.end(), {"--charts", charts_});
    if (!formats_.empty()) arguments.insert(arguments.end(), {"--formats", formats_});
    const std::filesystem::path run = run_;
    std::error_code ignored;
    const std::string beside =
        std::filesystem::is_directory(run, ignored) ? run_ : run.parent_path().string();
    return run_plot_package(context, "plot", run_,
                            !out_.empty() ? out_ : (beside.empty() ? "." : beside), arguments);
  }

 private:
  std::string run_, out_, charts_, formats_;
};

}  // namespace

std::unique_ptr<Command> make_plot_command() { return std::make_unique<PlotCommand>(); }

}  // namespace attnbench::cli
