// attnbench plot: hands a run to the Python package plot/.
#include <filesystem>
#include <ostream>
#include <system_error>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/process.h"
#include "cli/python.h"
#include "cli/report.h"

namespace attnbench::cli {
namespace {

class PlotCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("DIR", run_, "Folder of a run, with its summary.csv.")
        ->required()
        ->group("Input");
    add_text(app, "--out", out_, "DIR", "Where the figures go. Default: the run's folder.",
             "Output");
    add_text(app, "--formats", formats_, "LIST",
             "Of png, svg, pdf; comma separated. Default: png,svg.", "Output");
    app.footer(
        "Needs a Python with matplotlib and numpy. Tried in this order: $ATTNBENCH_PYTHON, the\n"
        "virtual environments .venv beside plot/ and attnbench/venv in the user's cache folder,\n"
        "python3 on PATH, /usr/bin/python3; when none has them, they are installed into the "
        "cache.\n"
        "\n"
        "Examples:\n"
        "  attnbench plot results/quickstart\n"
        "  attnbench plot results/quickstart --out figures --formats svg\n"
        "  ATTNBENCH_PYTHON=/opt/py/bin/python3 attnbench plot results/quickstart");
  }

  ExitCode execute(const Context& context) override {
    // Before anything is set up for it.
    const std::filesystem::path run = run_;
    std::error_code ignored;
    if (!std::filesystem::exists(run / "summary.csv", ignored) &&
        !std::filesystem::is_regular_file(run, ignored)) {
      return fail(context, io_error(run_ + ": holds no summary.csv"),
                  "give the folder that 'attnbench run --out DIR' made");
    }
    const auto parent = plot_package_parent();
    if (!parent) {
      return fail(context, io_error("the plot package was not found beside this installation"),
                  "reinstall with 'cmake --install', or run 'python3 -m plot DIR' in the sources");
    }
    const auto python = find_python(context, *parent);
    if (!python) {
      return fail(
          context, python.error(),
          "apt-get install python3-matplotlib python3-numpy; or: python3 -m venv .venv && "
          ".venv/bin/pip install matplotlib numpy, and set ATTNBENCH_PYTHON=.venv/bin/python3");
    }
    std::vector<std::string> command{*python, "-m", "plot", run_};
    if (!out_.empty()) command.insert(command.end(), {"--out", out_});
    if (!formats_.empty()) command.insert(command.end(), {"--formats", formats_});
    const std::string path = environment_variable("PYTHONPATH");
    context.out.flush();
    const auto code =
        run_process(command, {{"PYTHONPATH", path.empty() ? *parent : *parent + ":" + path},
                              {"PYTHONDONTWRITEBYTECODE", "1"}});
    if (!code) return fail(context, code.error());
    return static_cast<ExitCode>(*code);
  }

 private:
  std::string run_, out_, formats_;
};

}  // namespace

std::unique_ptr<Command> make_plot_command() { return std::make_unique<PlotCommand>(); }

}  // namespace attnbench::cli
