// Elements of tensors in files: decoding to float32, and what is refused on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "attention/result.h"

namespace attnbench {

/// Floating-point types that files may hold, little-endian.
enum class FloatType { f16, bf16, f32, f64 };

/// Whether NaN and infinities are errors, or values like others.
enum class NonFinite { refuse, accept };

/// A tensor of a file, converted, in C order.
struct FloatArray {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Bytes of one element.
std::size_t element_bytes(FloatType type);

/// The value of an IEEE 754 binary16 number given by its bits; exact.
float half_to_float(std::uint16_t bits);

/// Elements of a shape; nothing when their bytes do not fit into 63 bits.
std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape,
                                          std::size_t bytes);

/// "[2, 0, 7]": the index of element `flat` of a tensor in C order.
std::string index_text(const std::vector<std::int64_t>& shape, std::int64_t flat);

/// Reads all elements of `shape` from where `file` stands and appends them to `values` as float32.
/// An error starts with `what` and names the element: values that are not finite (unless accepted)
/// or do not fit into float32, a file that ends early. Throws std::bad_alloc.
Status read_floats(std::istream& file, const std::string& what, FloatType type,
                   const std::vector<std::int64_t>& shape, std::vector<float>& values,
                   NonFinite non_finite = NonFinite::refuse);

}  // namespace attnbench
