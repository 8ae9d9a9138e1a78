// Where the report of a check goes, the same for every command that checks.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "record/check_report.h"

namespace attnbench::cli {

/// What --format accepts.
inline constexpr const char* kCheckFormats = "console, markdown, json, junit, github";

/// "console,github" as words, in the order given; a usage error for another word.
Result<std::vector<std::string>> parse_check_formats(const std::string& text);

/// Prints the report in each format to the standard output, and writes check.json, check.md and
/// check.xml into `folder` unless that is empty. The exit code is the report's, or that of the
/// folder that cannot be written.
ExitCode put_report(const Context& context, const CheckReport& report,
                    const std::vector<std::string>& formats, const std::string& folder);

/// Removes the check.json, check.md and check.xml of an earlier check from `folder`: should this
/// one not come to its end, they must not be taken for its reports. Nothing for an empty name.
Status clear_check_files(const std::string& folder);

}  // namespace attnbench::cli
