// The command line that reruns one row.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plan/plan.h"

namespace attnbench::run {

/// One word for a POSIX shell: as it is when nothing in it is special, else in single quotes.
std::string shell_word(std::string_view text);

/// The flags of `attnbench run` that select one case: those of its axes that are not at their
/// defaults, the seed, and isa where it was restricted; names without dashes, "param" repeated.
using CaseFlags = std::vector<std::pair<std::string, std::string>>;
CaseFlags case_flags(const Case& spec, const SweepConfig& config);

/// The one command that reruns a case: `attnbench run` with its case_flags().
std::string repro_command(const Case& spec, const SweepConfig& config);

}  // namespace attnbench::run
