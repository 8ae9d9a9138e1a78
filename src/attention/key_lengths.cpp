#include "attention/key_lengths.h"

#include <fmt/format.h>

#include <filesystem>

#include "attention/aux_tensor.h"
#include "attention/hash.h"
#include "attention/npy.h"

namespace attnbench {

std::string content_name(const std::string& path, std::uint64_t hash) {
  return std::filesystem::path(path).filename().string() + "@" + hex16(hash);
}

Result<KeyLengths> load_key_lengths(const std::string& path) {
  auto array = read_npy(path);
  if (!array) return array.error();
  if (!array->is_integer || array->shape.size() != 1 || array->dtype == "|b1") {
    return io_error(fmt::format("{}: holds {} '{}'; accepted are key lengths: integers [B]", path,
                                shape_text(array->shape), array->dtype));
  }
  std::string text;  // The hash is that of the lengths, whatever type they are stored as.
  for (const std::int64_t length : array->ints) {
    if (length < 0) {
      return io_error(
          fmt::format("{}: key length {} is negative; accepted are 0 to the number of "
                      "keys",
                      path, length));
    }
    text += fmt::format("{},", length);
  }
  return KeyLengths{content_name(path, fnv1a64(text)), std::move(array->ints)};
}

}  // namespace attnbench
