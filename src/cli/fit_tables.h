// The tables that `attnbench fit` prints.
#pragma once

#include <string>

#include "analyse/fit.h"

namespace attnbench::cli {

/// Growth of every series, with notes; crossovers; thread scaling and Pareto front at the longest
/// lengths. What is left out for brevity is said, and is in fit.json.
std::string fit_tables(const analyse::FitReport& report);

}  // namespace attnbench::cli
