// The lengths of a padded batch, from a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attention/result.h"

namespace attnbench {

/// [B] lengths, and the name under which records show them: "lengths.npy@0123456789abcdef", the
/// file's name without its folder, and a hash of the lengths.
struct KeyLengths {
  std::string name;
  std::vector<std::int64_t> values;
  bool operator==(const KeyLengths&) const = default;
};

/// Reads an .npy file of integers of shape [B], none of them negative. Errors name the file, what
/// it holds and what is accepted. That there are as many as batch rows, and none beyond the number
/// of keys, is for validate(problem).
Result<KeyLengths> load_key_lengths(const std::string& path);

/// "NAME@HASH" with the file name of `path`.
std::string content_name(const std::string& path, std::uint64_t hash);

}  // namespace attnbench
