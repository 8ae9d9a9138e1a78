// Fills a manifest: this build, this machine, its ceilings.
#pragma once

#include <vector>

#include "cli/command.h"
#include "kernels/ceilings.h"
#include "measure/environment.h"
#include "plan/plan.h"
#include "record/manifest.h"

namespace attnbench::cli {

/// A manifest with command, tool, libraries, machine and ceilings; run_id, times and configuration
/// are left to the caller.
Manifest manifest_facts(const Context& context, const measure::Machine& machine,
                        const Ceilings& ceilings);

/// The figures of the manifest's `noise`.
std::map<std::string, double> noise_map(const measure::NoiseFigures& noise);

/// The data caches of the machine, as the ceilings take them.
std::vector<DataCache> data_caches(const measure::Machine& machine);

/// What the planner may expect of this machine: a part of its ceilings, as kernels do not reach
/// them.
PlanRates plan_rates(const Ceilings& ceilings, const measure::Machine& machine);

/// "2025-11-21T09:00:00Z", and the same for file names: "20251121T090000Z".
std::string utc_now();
std::string utc_now_compact();

}  // namespace attnbench::cli
