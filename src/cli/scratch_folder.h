// A temporary folder.
#pragma once

#include <string>

#include "attention/result.h"

namespace attnbench::cli {

/// A folder of its own below the system's temporary one; gone with the object.
class ScratchFolder {
 public:
  static Result<ScratchFolder> make();
  ~ScratchFolder();
  ScratchFolder(ScratchFolder&& other) noexcept;
  ScratchFolder& operator=(ScratchFolder&&) = delete;

  /// The path of a file in it, which need not exist.
  std::string file(const std::string& name) const;
  /// A copy of a program; its path.
  Result<std::string> copy_of(const std::string& program) const;

 private:
  explicit ScratchFolder(std::string path);
  std::string path_;
};

}  // namespace attnbench::cli
