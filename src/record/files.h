// Whole-file reading, and writing that survives a kill: readers see the old file or the new one,
// never a part.
#pragma once

#include <string>
#include <string_view>

#include "attention/result.h"

namespace attnbench {

/// The file's bytes. Errors name the path and the system's reason.
Result<std::string> read_file(const std::string& path);

/// What is appended to a path while its file is being written.
inline constexpr const char* kTemporarySuffix = ".tmp";

/// Writes PATH.tmp in the same folder, flushes it to the disk and renames it to PATH. On an error
/// PATH is what it was.
Status write_file_atomically(const std::string& path, std::string_view text);

/// A file that only grows, block by block.
class AppendFile {
 public:
  AppendFile() = default;
  /// Opens an existing file at its end.
  static Result<AppendFile> open(const std::string& path);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  /// Appends `text` and flushes it to the disk. On an error (a full disk) the file is cut back to
  /// what it was.
  Status append(std::string_view text);

 private:
  int descriptor_ = -1;
  std::string path_;
};

/// An advisory lock on a directory, held while the object lives; released by the system when the
/// process dies.
class DirectoryLock {
 public:
  DirectoryLock() = default;
  /// A usage error when another process holds it.
  static Result<DirectoryLock> take(const std::string& path);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace attnbench
