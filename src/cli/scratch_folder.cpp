#include "cli/scratch_folder.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace attnbench::cli {
namespace {
namespace fs = std::filesystem;
}  // namespace

Result<ScratchFolder> ScratchFolder::make() {
  std::error_code code;
  std::string pattern = (fs::temp_directory_path(code) / "attnbench-gate-XXXXXX").string();
  if (code || ::mkdtemp(pattern.data()) == nullptr) {
    return io_error("no temporary folder can be made: " + pattern);
  }
  return ScratchFolder(pattern);
}

ScratchFolder::ScratchFolder(std::string path) : path_(std::move(path)) {}

ScratchFolder::ScratchFolder(ScratchFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

std::string ScratchFolder::file(const std::string& name) const {
  return (fs::path(path_) / name).string();
}

Result<std::string> ScratchFolder::copy_of(const std::string& program) const {
  std::string target = file("copy");
  std::error_code code;
  fs::copy_file(program, target, fs::copy_options::overwrite_existing, code);
  if (code) return io_error(program + " cannot be copied: " + code.message());
  return target;
}

}  // namespace attnbench::cli
