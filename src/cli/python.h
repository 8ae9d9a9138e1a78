// Finds a Python interpreter that can draw plots.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attention/result.h"
#include "cli/command.h"

namespace attnbench::cli {

/// The folder whose sub-folder plot/ is the Python package: the installation's data folder, or the
/// source tree this was built from. Nothing when neither is there.
std::optional<std::string> plot_package_parent();

/// Where the user's virtual environment for plots lives: the user's cache folder.
std::string cached_venv_folder();

/// Interpreters in the order they are tried: $ATTNBENCH_PYTHON, the virtual environments beside the
/// plot package and in the user's cache, python3 on PATH, /usr/bin/python3. Those given by a path
/// that does not exist are left out.
std::vector<std::string> python_candidates(const std::string& package_parent);

/// The first interpreter for which `works` says yes; when there is none, makes a virtual
/// environment with matplotlib in the user's cache, telling so on the error stream.
/// $ATTNBENCH_PYTHON that does not work is an error.
Result<std::string> find_python(const Context& context, const std::string& package_parent);

/// Whether this interpreter imports matplotlib and numpy.
bool python_can_plot(const std::string& interpreter);

}  // namespace attnbench::cli
