// How errors and warnings look on a terminal, and which exit code they become.
#pragma once

#include <string>
#include <string_view>

#include "attention/result.h"
#include "cli/command.h"

namespace attnbench::cli {

/// Prints "attnbench: error: MESSAGE" and, unless empty, "attnbench: hint: HINT" to the error
/// stream; returns the exit code for the error's kind.
ExitCode fail(const Context& context, const Error& error, std::string_view hint = {});
/// The same for a usage error.
ExitCode fail_usage(const Context& context, std::string_view message, std::string_view hint = {});
/// Prints "attnbench: warning: MESSAGE" to the error stream.
void warn(const Context& context, std::string_view message);

/// The words joined by blanks, quoted for a POSIX shell where needed.
std::string shell_quoted(const std::vector<std::string>& words);

/// "1.23 ms", "45.6 us", "2.00 s".
std::string duration_text(double seconds);
/// "0:07", "12:34", "1:02:03".
std::string clock_text(double seconds);
/// "12.3 M", "4.29 G": decimal prefixes, three digits.
std::string count_text(double count);

}  // namespace attnbench::cli
