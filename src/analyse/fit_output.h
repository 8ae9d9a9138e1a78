// The files of `attnbench fit`.
#pragma once

#include <string>

#include "analyse/fit.h"

namespace attnbench::analyse {

/// One JSON object: series, crossovers, scaling, pareto (docs/analysis.md has every key). Absent
/// values are null.
std::string fit_json(const FitReport& report);

/// One row per series and quantity ("time", "workspace"), RFC 4180, SI units in the names.
std::string fit_csv(const FitReport& report);

}  // namespace attnbench::analyse
