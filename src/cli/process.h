// Child processes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "attention/result.h"

namespace attnbench::cli {

/// Runs a program (searched in PATH unless it has a slash) and waits for it; returns its exit code,
/// 128 + n when signal n ended it. `set_environment` is laid over this process's environment.
/// `silent` sends its output to /dev/null. An error when it cannot be started.
Result<int> run_process(const std::vector<std::string>& command,
                        const std::map<std::string, std::string>& set_environment = {},
                        bool silent = false);

/// An environment variable; empty when it is not set.
std::string environment_variable(const std::string& name);

/// All of this process's environment: "NAME=value".
std::vector<std::string> process_environment();

/// The folder that holds the running executable.
std::string executable_folder();

}  // namespace attnbench::cli
