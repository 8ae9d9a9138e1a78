// The problems that `verify` checks when none are asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/sweep_config.h"
#include "plan/plan.h"

namespace attnbench::cli {

/// The cells of one configuration given as flags.
Result<std::vector<Case>> planned_cells(const FlagTexts& texts,
                                        const std::vector<std::string>& params,
                                        const Registry& registry);

/// The cells of the built-in grid: `selection` says which variants, threads, seed and instruction
/// set.
Result<std::vector<Case>> grid_cells(const FlagTexts& selection,
                                     const std::vector<std::string>& params,
                                     const Registry& registry);

/// The seed among these flags, or the default.
std::uint64_t grid_seed(const FlagTexts& texts);

}  // namespace attnbench::cli
