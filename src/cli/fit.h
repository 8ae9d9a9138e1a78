// attnbench fit: growth, crossovers, thread scaling and the Pareto front of a stored run.
#pragma once

#include <memory>

#include "cli/command.h"

namespace attnbench::cli {

std::unique_ptr<Command> make_fit_command();

}  // namespace attnbench::cli
