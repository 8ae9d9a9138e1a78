#include "cli/data_files.h"

#include <filesystem>
#include <system_error>

#include "cli/process.h"

namespace attnbench::cli {

namespace fs = std::filesystem;

std::vector<std::string> data_folders() {
  const fs::path installed = fs::path(executable_folder()).parent_path() / ATTNBENCH_DATA_SUBDIR;
  return {installed.string(), ATTNBENCH_SOURCE_DIR};
}

std::string find_config(const std::string& name) {
  std::error_code code;
  if (fs::exists(name, code)) return name;
  fs::path relative = name;
  if (relative.has_parent_path() && relative.parent_path() != "configs") return name;
  relative = relative.filename();
  if (!relative.has_extension()) relative += ".toml";
  for (const std::string& folder : data_folders()) {
    const fs::path candidate = fs::path(folder) / "configs" / relative;
    if (fs::is_regular_file(candidate, code)) return candidate.string();
  }
  return name;
}

std::string shapes_file() {
  const std::vector<std::string> folders = data_folders();
  const auto path = [](const std::string& folder) {
    return (fs::path(folder) / "configs" / "shapes.toml").string();
  };
  std::error_code code;
  for (const std::string& folder : folders) {
    if (fs::is_regular_file(path(folder), code)) return path(folder);
  }
  return path(folders.front());
}

}  // namespace attnbench::cli
