// What this build is made of.
#pragma once

#include <map>
#include <string>

namespace attnbench::cli {

struct BuildInfo {
  std::string version, git, compiler, flags;
  std::map<std::string, std::string> libraries;  ///< Name -> version.
};
BuildInfo build_info();

/// What --version prints.
std::string version_text();

}  // namespace attnbench::cli
