// attnbench compare: stored runs, cell by cell.
#pragma once

#include <memory>

#include "cli/command.h"

namespace attnbench::cli {

std::unique_ptr<Command> make_compare_command();

}  // namespace attnbench::cli
