// attnbench gate ab: did this build become slower than that one? gate aa: how often is the gate
// wrong? gate child: one build's measuring process, which the others start.
#pragma once

#include <memory>

#include "cli/command.h"

namespace attnbench::cli {

std::unique_ptr<Command> make_gate_command();

}  // namespace attnbench::cli
