#include "attention/file_elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "attention/aux_tensor.h"

namespace attnbench {
namespace {

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian bytes");

template <class T>
T load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

double decode(const char* bytes, FloatType type) {
  switch (type) {
    case FloatType::f16:
      return half_to_float(load<std::uint16_t>(bytes));
    case FloatType::bf16:
      // The upper half of a binary32 number.
      return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(bytes)} << 16);
    case FloatType::f32:
      return load<float>(bytes);
    case FloatType::f64:
      break;
  }
  return load<double>(bytes);
}

/// Why a value is refused; nothing when it is accepted.
std::optional<std::string> refusal(double value, NonFinite non_finite) {
  if (!std::isfinite(value)) {
    if (non_finite == NonFinite::accept) return std::nullopt;
    return fmt::format("is {}; accepted are finite values",
                       std::isnan(value) ? "nan" : (value > 0 ? "inf" : "-inf"));
  }
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
    return fmt::format("is {:g}, beyond the range of float32", value);
  }
  return std::nullopt;
}

}  // namespace

std::size_t element_bytes(FloatType type) {
  if (type == FloatType::f64) return 8;
  return type == FloatType::f32 ? 4 : 2;
}

float half_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  float magnitude;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else if (exponent == 31) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN();
  } else {
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::optional<std::int64_t> element_count(const std::vector<std::int64_t>& shape,
                                          std::size_t bytes) {
  const std::int64_t limit =
      std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(bytes);
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size != 0 && count > limit / size) return std::nullopt;
    count *= size;
  }
  return count;
}

std::string index_text(const std::vector<std::int64_t>& shape, std::int64_t flat) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    index[d] = flat % shape[d];
    flat /= shape[d];
  }
  return shape_text(index);
}

Status read_floats(std::istream& file, const std::string& what, FloatType type,
                   const std::vector<std::int64_t>& shape, std::vector<float>& values,
                   NonFinite non_finite) {
  constexpr std::int64_t kChunk = 1 << 16;
  const std::size_t bytes = element_bytes(type);
  const std::optional<std::int64_t> count = element_count(shape, bytes);
  if (!count) {
    return io_error(fmt::format("{}: shape {} is too large", what, shape_text(shape)));
  }
  values.reserve(values.size() + static_cast<std::size_t>(*count));
  std::vector<char> chunk(static_cast<std::size_t>(std::min(kChunk, *count)) * bytes);
  for (std::int64_t first = 0; first < *count; first += kChunk) {
    const std::int64_t elements = std::min(kChunk, *count - first);
    file.read(chunk.data(), elements * static_cast<std::streamsize>(bytes));
    if (!file) return io_error(what + ": cannot be read to its end");
    for (std::int64_t e = 0; e < elements; ++e) {
      const double value = decode(chunk.data() + static_cast<std::size_t>(e) * bytes, type);
      if (const auto refused = refusal(value, non_finite)) {
        return io_error(
            fmt::format("{}: element {} {}", what, index_text(shape, first + e), *refused));
      }
      values.push_back(static_cast<float>(value));
    }
  }
  return ok_status();
}

}  // namespace attnbench
