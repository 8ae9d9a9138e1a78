// Who may include whom, and what may not happen below cli/: rules over the text of source files.
#pragma once

#include <string>
#include <vector>

namespace attnbench::test {

/// A rule broken at a line.
struct Violation {
  int line = 0;
  std::string what;
};

/// The room of a file, from its path under the repository: "src/kernels/arena.h" -> "kernels",
/// "variants/full.cpp" -> "variants", "src/main.cpp" -> "main". Empty for files of no room.
std::string room_of(const std::string& path);

/// Checks one file of `room`: quoted includes against the table in docs/design.md, CLI11 outside
/// cli/, and printing, ending the process or reading its environment outside cli/ and main.
std::vector<Violation> check_source(const std::string& room, const std::string& text);

/// The text with comments, and the contents of string and character literals too unless
/// `keep_literals`, replaced by spaces; lines stay where they are.
std::string blank_comments(const std::string& text, bool keep_literals);

}  // namespace attnbench::test
