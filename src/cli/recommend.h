// attnbench recommend: the fastest variant for a problem, from a stored run.
#pragma once

#include <memory>

#include "cli/command.h"

namespace attnbench::cli {

std::unique_ptr<Command> make_recommend_command();

}  // namespace attnbench::cli
