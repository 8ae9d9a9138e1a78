// The command line as a whole: which subcommand, help, version, and the last line of defence
// against errors.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace attnbench::cli {

/// Parses `context.arguments` (program name included), runs the subcommand and returns the exit
/// code. Everything thrown below is turned into an error message.
ExitCode run_command_line(Context context);

/// The same for a process: real streams, the global registry.
int run_main(int argc, char** argv);

}  // namespace attnbench::cli
