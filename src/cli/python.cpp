#include "cli/python.h"

#include <fmt/format.h>

#include <filesystem>
#include <ostream>
#include <system_error>

#include "cli/data_files.h"
#include "cli/process.h"
#include "cli/report.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code code;
  return fs::is_regular_file(path, code);
}

/// The package named plot, not just any folder of that name.
bool has_plot_package(const fs::path& parent) { return is_file(parent / "plot" / "__main__.py"); }

/// Makes the virtual environment; nothing when any step fails. Errors of the tools go to the
/// terminal.
std::optional<std::string> make_venv(const Context& context, const std::string& package_parent) {
  const std::string folder = cached_venv_folder();
  context.err << "attnbench: no Python with matplotlib and numpy found; installing them into "
              << folder << '\n';
  const std::string python = folder + "/bin/python3";
  const std::string requirements = package_parent + "/plot/requirements.txt";
  for (const std::vector<std::string>& step :
       {std::vector<std::string>{"python3", "-m", "venv", folder},
        {python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
         requirements}}) {
    const auto code = run_process(step);
    if (!code || *code != 0) {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
      return std::nullopt;
    }
  }
  return python_can_plot(python) ? std::optional<std::string>(python) : std::nullopt;
}

}  // namespace

std::optional<std::string> plot_package_parent() {
  for (const std::string& folder : data_folders()) {
    if (has_plot_package(folder)) return folder;
  }
  return std::nullopt;
}

std::string cached_venv_folder() {
  const std::string cache = environment_variable("XDG_CACHE_HOME");
  const std::string home = environment_variable("HOME");
  const fs::path base =
      cache.empty() ? fs::path(home.empty() ? "/tmp" : home) / ".cache" : fs::path(cache);
  return (base / "attnbench" / "venv").string();
}

std::vector<std::string> python_candidates(const std::string& package_parent) {
  std::vector<std::string> candidates;
  for (const std::string& path :
       {package_parent + "/.venv/bin/python3", cached_venv_folder() + "/bin/python3"}) {
    if (is_file(path)) candidates.push_back(path);
  }
  candidates.emplace_back("python3");
  if (is_file("/usr/bin/python3")) candidates.emplace_back("/usr/bin/python3");
  return candidates;
}

bool python_can_plot(const std::string& interpreter) {
  const auto code = run_process({interpreter, "-c", "import matplotlib, numpy"}, {}, true);
  return code && *code == 0;
}

Result<std::string> find_python(const Context& context, const std::string& package_parent) {
  const std::string chosen = environment_variable("ATTNBENCH_PYTHON");
  if (!chosen.empty()) {
    if (python_can_plot(chosen)) return chosen;
    return usage_error(
        fmt::format("ATTNBENCH_PYTHON={}: cannot import matplotlib and numpy", chosen));
  }
  for (const std::string& candidate : python_candidates(package_parent)) {
    if (python_can_plot(candidate)) return candidate;
  }
  if (auto made = make_venv(context, package_parent)) return *made;
  return io_error("no Python with matplotlib and numpy found, and none could be set up");
}

}  // namespace attnbench::cli
