// What --base and --head of a gate name: a binary, or a git revision that is built on demand.
#pragma once

#include <functional>
#include <string>

#include "attention/result.h"

namespace attnbench::cli {

/// A build to measure.
struct NamedBuild {
  std::string given;    ///< As on the command line.
  std::string binary;   ///< Path of its attnbench.
  std::string detail;   ///< For reports: what --version says of it, or the commit.
  std::string made_of;  ///< Compiler, flags and libraries, as --version lists them.
};

/// Finds the binary that `text` names. A file that exists is taken as a binary; anything else is
/// looked up as a git revision of the repository in the working directory (else of the source tree
/// this was built from), which is built with this build's compiler and flags in a worktree below
/// the cache folder ($XDG_CACHE_HOME or ~/.cache, attnbench/builds), or was before. `say` is told
/// what takes long. Errors: a shared library (unsupported); neither file nor revision (usage); a
/// build that failed, with where its log is (io).
Result<NamedBuild> find_build(const std::string& text, const std::string& flag,
                              const std::function<void(const std::string&)>& say);

}  // namespace attnbench::cli
