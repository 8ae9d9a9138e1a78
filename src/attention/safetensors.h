// The safetensors format: a JSON header (name -> dtype, shape, byte range) and the raw data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "attention/file_elements.h"
#include "attention/result.h"

namespace attnbench {

/// What the header says about one tensor.
struct SafetensorsEntry {
  std::string dtype;  ///< "F32", "BF16", ...
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< Bytes, from the start of the data.
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::uint64_t data_start = 0;  ///< In the file.
};

/// Reads and checks the header against the file's size. Refused, with a message that names the file
/// and the tensor: headers that are truncated, too large or no JSON object of the documented form,
/// names that occur twice, unknown types, byte ranges that do not fit the shape, overlap, leave
/// bytes that belong to no tensor, or reach beyond the file. Throws std::bad_alloc.
Result<SafetensorsHeader> read_safetensors_header(const std::string& path);

/// Reads one tensor of type F16, BF16, F32 or F64 as float32; all values must be finite. An unknown
/// name is an error that lists those that there are.
Result<FloatArray> read_safetensors(const std::string& path, const std::string& name);

/// Whether a path ends in ".safetensors".
bool is_safetensors_path(const std::string& path);

}  // namespace attnbench
