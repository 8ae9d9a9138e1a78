// The command line that reruns one row.
#pragma once

#include <string>
#include <string_view>

#include "plan/plan.h"

namespace attnbench::run {

/// One word for a POSIX shell: as it is when nothing in it is special, else in single quotes.
std::string shell_word(std::string_view text);

/// The one command that reruns a case: `attnbench run` with the axes that are not at their
/// defaults, the seed, and --isa where it was restricted.
std::string repro_command(const Case& spec, const SweepConfig& config);

}  // namespace attnbench::run
