// Files that come with the tool: the plot package and the sweep configurations.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace attnbench::cli {

/// Where they may be, best first: the installation's data folder, the source tree this was built
/// from.
std::vector<std::string> data_folders();

/// What `run` takes for FILE: `name` itself when there is such a file, else the configuration of
/// that name ("quickstart", "quickstart.toml", "configs/quickstart.toml") that comes with the tool,
/// else `name`.
std::string find_config(const std::string& name);

/// The table of published models' shapes (config/shapes.h): the first of data_folders() that has
/// configs/shapes.toml, else its place in the installation, for error messages.
std::string shapes_file();

}  // namespace attnbench::cli
