#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "attention/npy.h"

namespace attnbench {
namespace {

/// The dictionary and its padding: data starts at a multiple of 64 bytes.
std::string header_bytes(const char* descr, std::span<const std::int64_t> shape) {
  std::string sizes;
  for (const std::int64_t size : shape) {
    sizes += sizes.empty() ? fmt::format("{},", size) : fmt::format(" {},", size);
  }
  if (shape.size() > 1) sizes.pop_back();
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, sizes);
  constexpr std::size_t kPrefix = 10;
  while ((kPrefix + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(text.size() & 0xff);
  bytes += static_cast<char>(text.size() >> 8);
  return bytes + text;
}

Status write_bytes(const std::string& path, const std::string& header, const void* data,
                   std::size_t bytes) {
  namespace fs = std::filesystem;
  std::error_code code;
  fs::path target = path;
  if (fs::is_symlink(target, code)) target = fs::weakly_canonical(target, code);
  const bool exists = fs::exists(target, code);
  if (fs::is_directory(target, code)) return io_error(path + ": is a directory");
  // A device or a pipe is written in place: renaming would replace it by a file.
  const bool in_place = exists && !fs::is_regular_file(target, code);
  const fs::path written =
      in_place ? target : fs::path(target.string() + fmt::format(".tmp{}", ::getpid()));
  std::ofstream file(written, std::ios::binary | std::ios::trunc);
  if (!file) {
    return io_error(fmt::format("{}: cannot be written ({})", path, std::strerror(errno)));
  }
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  file.close();
  if (!file) {
    if (!in_place) fs::remove(written, code);
    return io_error(path + ": writing failed (disk full?)");
  }
  if (in_place) return ok_status();
  fs::rename(written, target, code);
  if (code) return io_error(fmt::format("{}: cannot be replaced ({})", path, code.message()));
  return ok_status();
}

}  // namespace

Status write_npy(const std::string& path, std::span<const std::int64_t> shape,
                 std::span<const float> values) {
  return write_bytes(path, header_bytes("<f4", shape), values.data(), values.size_bytes());
}

Status write_npy(const std::string& path, std::span<const std::int64_t> shape,
                 std::span<const std::int64_t> values) {
  return write_bytes(path, header_bytes("<i8", shape), values.data(), values.size_bytes());
}

}  // namespace attnbench
