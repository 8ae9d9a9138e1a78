#include "cli/plot_package.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <ostream>
#include <system_error>

#include "cli/fit_files.h"
#include "cli/process.h"
#include "cli/python.h"
#include "cli/report.h"
#include "cli/stored_run.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

/// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code ignored;
    std::string name = (fs::temp_directory_path(ignored) / "attnbench-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  /// Empty when none could be made.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The path of the fit.json; nothing, with a warning, when there is none.
std::optional<std::string> write_fit(const Context& context, const std::string& run,
                                     const std::string& folder) {
  const auto stored = read_stored_run(run);
  if (!stored) {
    warn(context, "not analysed: " + stored.error().message);
    return std::nullopt;
  }
  if (const Status written = write_fit_files(folder, analyse_stored_run(*stored)); !written) {
    warn(context, "the analysis is not kept: " + written.error().message);
    return std::nullopt;
  }
  return (fs::path(folder) / "fit.json").string();
}

}  // namespace

const char* const kPythonSearch =
    "Needs a Python with matplotlib and numpy. Tried in this order: $ATTNBENCH_PYTHON, the\n"
    "virtual environments .venv beside plot/ and attnbench/venv in the user's cache folder,\n"
    "python3 on PATH, /usr/bin/python3; when none has them, they are installed into the cache.\n";

ExitCode run_plot_package(const Context& context, const std::string& module, const std::string& run,
                          const std::string& fit_folder,
                          const std::vector<std::string>& arguments) {
  // Before anything is set up for it.
  std::error_code ignored;
  if (!fs::exists(fs::path(run) / "summary.csv", ignored) && !fs::is_regular_file(run, ignored)) {
    return fail(context, io_error(run + ": holds no summary.csv"),
                "give the folder that 'attnbench run --out DIR' made");
  }
  const auto parent = plot_package_parent();
  if (!parent) {
    return fail(context, io_error("the plot package was not found beside this installation"),
                fmt::format("reinstall with 'cmake --install', or run 'python3 -m {} DIR' in the "
                            "sources",
                            module));
  }
  const auto python = find_python(context, *parent);
  if (!python) {
    return fail(context, python.error(),
                "apt-get install python3-matplotlib python3-numpy; or: python3 -m venv .venv && "
                ".venv/bin/pip install matplotlib numpy, and set ATTNBENCH_PYTHON="
                ".venv/bin/python3");
  }
  const TemporaryFolder temporary;
  std::vector<std::string> command{*python, "-m", module, run};
  if (const auto fit =
          write_fit(context, run, fit_folder.empty() ? temporary.path() : fit_folder)) {
    command.insert(command.end(), {"--fit", *fit});
  }
  command.insert(command.end(), arguments.begin(), arguments.end());
  const std::string path = environment_variable("PYTHONPATH");
  context.out.flush();
  const auto code =
      run_process(command, {{"PYTHONPATH", path.empty() ? *parent : *parent + ":" + path},
                            {"PYTHONDONTWRITEBYTECODE", "1"}});
  if (!code) return fail(context, code.error());
  return static_cast<ExitCode>(*code);
}

}  // namespace attnbench::cli
