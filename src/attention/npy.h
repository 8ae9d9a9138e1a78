// NumPy's .npy files: the way users hand over their own tensors and get results back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attention/file_elements.h"
#include "attention/result.h"

namespace attnbench {

/// The contents of an .npy file, in C order. Floating-point files fill `values` (float16 and
/// float64 converted to float32), integer and boolean files fill `ints`.
struct NpyArray {
  std::vector<std::int64_t> shape;
  std::string dtype;  ///< As the file says: "<f4".
  bool is_integer = false;
  std::vector<float> values;
  std::vector<std::int64_t> ints;
};

/// Reads a file of format version 1, 2 or 3: little-endian float16, float32, float64, signed and
/// unsigned integers up to 64 bits, bool; C order. Refused, with a message that names the file,
/// what was found and what is accepted: other types (objects, structures, complex, big-endian),
/// Fortran order, files that are shorter or longer than their header says, values that are not
/// finite (unless accepted) or do not fit into float32. Throws std::bad_alloc.
Result<NpyArray> read_npy(const std::string& path, NonFinite non_finite = NonFinite::refuse);

/// The same for a file that must hold floating-point values.
Result<FloatArray> read_npy_floats(const std::string& path);

/// Writes float32 values in C order; `values` has as many elements as `shape` says. A regular file
/// is replaced in one step (written beside it, then renamed), so a reader never sees half of it.
Status write_npy(const std::string& path, std::span<const std::int64_t> shape,
                 std::span<const float> values);
/// The same for int64 values.
Status write_npy(const std::string& path, std::span<const std::int64_t> shape,
                 std::span<const std::int64_t> values);

}  // namespace attnbench
