// Runs the Python package plot/, which draws figures and reports.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace attnbench::cli {

/// For help pages: which Python is used.
extern const char* const kPythonSearch;

/// Analyses the run at `run` (a folder, or a CSV file with the columns of summary.csv) and starts
/// `python3 -m MODULE RUN --fit FIT arguments...` with the analysis beside it. `fit_folder` is
/// where fit.json and fit.csv are left; where it is empty they go to a temporary folder that is
/// removed afterwards. A run that cannot be analysed is passed on without them, and a warning says
/// why. Returns what Python exits with; errors are printed.
ExitCode run_plot_package(const Context& context, const std::string& module, const std::string& run,
                          const std::string& fit_folder, const std::vector<std::string>& arguments);

}  // namespace attnbench::cli
