// Writes what the analysis says of a run.
#pragma once

#include <string>

#include "analyse/fit.h"
#include "attention/result.h"
#include "cli/stored_run.h"

namespace attnbench::cli {

/// The analysis of a run that was read.
analyse::FitReport analyse_stored_run(const StoredRun& run);

/// Writes fit.json and fit.csv into `folder`, which is made when it is not there.
Status write_fit_files(const std::string& folder, const analyse::FitReport& report);

}  // namespace attnbench::cli
