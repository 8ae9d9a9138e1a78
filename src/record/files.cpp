#include "record/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace attnbench {
namespace {

Error system_error(const std::string& path, std::string_view what) {
  const int code = errno;
  return io_error(fmt::format("{}: {}: {}", path, what, std::strerror(code)));
}

int open_retrying(const std::string& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool flush(int descriptor) {
  int code = 0;
  do {
    code = ::fsync(descriptor);
  } while (code != 0 && errno == EINTR);
  // Pipes and some network file systems have nothing to flush.
  return code == 0 || errno == EINVAL || errno == ENOTSUP;
}

void flush_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int descriptor = open_retrying(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  flush(descriptor);
  ::close(descriptor);
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const int descriptor = open_retrying(path, O_RDONLY);
  if (descriptor < 0) return system_error(path, "cannot open");
  std::string text;
  std::string block(1 << 16, '\0');
  while (true) {
    const ssize_t got = ::read(descriptor, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const Error error = system_error(path, "cannot read");
      ::close(descriptor);
      return error;
    }
    if (got == 0) break;
    text.append(block, 0, static_cast<std::size_t>(got));
  }
  ::close(descriptor);
  return text;
}

Status write_file_atomically(const std::string& path, std::string_view text) {
  const std::string temporary = path + kTemporarySuffix;
  const int descriptor = open_retrying(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (descriptor < 0) return system_error(temporary, "cannot create");
  bool good = write_all(descriptor, text) && flush(descriptor);
  Error error = good ? Error{} : system_error(temporary, "cannot write");
  if (::close(descriptor) != 0 && good) {
    error = system_error(temporary, "cannot write");
    good = false;
  }
  if (good && std::rename(temporary.c_str(), path.c_str()) != 0) {
    error = system_error(path, "cannot rename " + temporary + " to it");
    good = false;
  }
  if (!good) {
    ::unlink(temporary.c_str());
    return error;
  }
  flush_folder_of(path);
  return ok_status();
}

Result<AppendFile> AppendFile::open(const std::string& path) {
  AppendFile file;
  file.descriptor_ = open_retrying(path, O_WRONLY | O_APPEND);
  if (file.descriptor_ < 0) return system_error(path, "cannot open");
  file.path_ = path;
  return file;
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

Status AppendFile::append(std::string_view text) {
  if (text.empty()) return ok_status();
  struct stat before {};
  if (::fstat(descriptor_, &before) != 0) return system_error(path_, "cannot examine");
  if (write_all(descriptor_, text) && flush(descriptor_)) return ok_status();
  const Error error = system_error(path_, "cannot append");
  if (::ftruncate(descriptor_, before.st_size) != 0) {
    return io_error(error.message + " (and a part of a line stays at its end)");
  }
  return error;
}

Result<DirectoryLock> DirectoryLock::take(const std::string& path) {
  DirectoryLock lock;
  lock.descriptor_ = open_retrying(path, O_RDONLY | O_DIRECTORY);
  if (lock.descriptor_ < 0) return system_error(path, "cannot open");
  if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return usage_error(path + ": another run is writing to this directory; choose another one");
  }
  // Where the file system knows no locks (some network mounts) the run goes on without.
  return lock;
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace attnbench
