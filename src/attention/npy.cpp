#include "attention/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <system_error>

#include "attention/aux_tensor.h"
#include "attention/file_elements.h"

namespace attnbench {
namespace {

constexpr std::array<char, 6> kMagic{'\x93', 'N', 'U', 'M', 'P', 'Y'};
constexpr std::size_t kMaxHeaderBytes = 1 << 20;
constexpr const char* kAcceptedTypes =
    "accepted are little-endian float32, float64, float16 (and integers for auxiliary tensors)";

/// What the dictionary in front of the data says.
struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Reads the Python dictionary literal of a header: exactly the forms that NumPy writes, in any
/// order and spacing.
class HeaderParser {
 public:
  HeaderParser(std::string path, std::string text)
      : path_(std::move(path)), text_(std::move(text)) {}

  Result<Header> parse() {
    Header header;
    bool has_descr = false, has_order = false, has_shape = false;
    if (!accept('{')) return broken("'{'");
    while (!accept('}')) {
      const std::optional<std::string> key = quoted();
      if (!key || !accept(':')) return broken("a quoted key and ':'");
      if (*key == "descr") {
        if (peek() == '[') {
          return io_error(path_ + ": holds a structured dtype; " + kAcceptedTypes);
        }
        std::optional<std::string> text = quoted();
        if (!text) return broken("a quoted dtype");
        header.descr = std::move(*text);
        has_descr = true;
      } else if (*key == "fortran_order") {
        if (accept_word("True")) {
          header.fortran_order = true;
        } else if (!accept_word("False")) {
          return broken("True or False");
        }
        has_order = true;
      } else if (*key == "shape") {
        if (!shape(header.shape)) return broken("a tuple of sizes");
        has_shape = true;
      } else {
        return io_error(fmt::format("{}: unknown key '{}' in the .npy header", path_, *key));
      }
      accept(',');
    }
    if (!has_descr || !has_order || !has_shape) {
      return io_error(path_ + ": the .npy header lacks descr, fortran_order or shape");
    }
    return header;
  }

 private:
  Error broken(const std::string& expected) const {
    return io_error(fmt::format("{}: damaged .npy header: expected {} at character {}", path_,
                                expected, position_));
  }
  void skip_space() {
    while (position_ < text_.size() && std::strchr(" \t\n\r", text_[position_]) != nullptr &&
           text_[position_] != '\0') {
      ++position_;
    }
  }
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++position_;
    return true;
  }
  bool accept_word(const char* word) {
    skip_space();
    if (text_.compare(position_, std::strlen(word), word) != 0) return false;
    position_ += std::strlen(word);
    return true;
  }
  std::optional<std::string> quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    const std::size_t end = text_.find(quote, position_ + 1);
    if (end == std::string::npos) return std::nullopt;
    std::string inside = text_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    return inside;
  }
  bool shape(std::vector<std::int64_t>& sizes) {
    if (!accept('(')) return false;
    while (!accept(')')) {
      std::int64_t size = 0;
      bool any = false;
      for (char c = peek(); c >= '0' && c <= '9'; c = peek()) {
        if (size > (std::numeric_limits<std::int64_t>::max() - 9) / 10) return false;
        size = size * 10 + (c - '0');
        any = true;
        ++position_;
      }
      if (!any) return false;
      sizes.push_back(size);
      accept(',');
    }
    return true;
  }

  std::string path_;
  std::string text_;
  std::size_t position_ = 0;
};

/// Magic, version, header length and header text.
Result<Header> read_header(const std::string& path, std::ifstream& file) {
  std::array<unsigned char, 8> start{};
  file.read(reinterpret_cast<char*>(start.data()), start.size());
  const auto got = static_cast<std::size_t>(file.gcount());
  if (got == 0 || std::memcmp(start.data(), kMagic.data(), std::min(got, kMagic.size())) != 0) {
    return io_error(path + ": not an .npy file (it does not start with \\x93NUMPY)");
  }
  if (got < start.size()) {
    return io_error(fmt::format("{}: truncated: {} of the {} bytes that an .npy file begins with",
                                path, got, start.size()));
  }
  const int major = start[6];
  if (major < 1 || major > 3) {
    return io_error(fmt::format("{}: .npy format version {}.{}; accepted are 1, 2 and 3", path,
                                major, int{start[7]}));
  }
  std::array<unsigned char, 4> length_bytes{};
  file.read(reinterpret_cast<char*>(length_bytes.data()), major == 1 ? 2 : 4);
  std::uint32_t length = 0;
  std::memcpy(&length, length_bytes.data(), sizeof(length));
  if (!file || length > kMaxHeaderBytes) return io_error(path + ": truncated in the .npy header");
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  if (!file) return io_error(path + ": truncated in the .npy header");
  return HeaderParser(path, std::move(text)).parse();
}

/// Element kind and size; nothing when the type is not read.
struct ElementType {
  char kind = 'f';  ///< f, i, u, b
  std::size_t bytes = 4;
};

Result<ElementType> element_type(const std::string& path, const std::string& descr) {
  const auto refuse = [&](const std::string& what) {
    return io_error(fmt::format("{}: dtype '{}' {}; {}", path, descr, what, kAcceptedTypes));
  };
  if (descr.size() < 2) return refuse("is not understood");
  const char order = descr[0];
  const char kind = descr[1];
  const std::string size = descr.substr(2);
  if (kind == 'O') return refuse("holds pickled Python objects");
  if (order == '>') return refuse("is big-endian");
  const bool floating = kind == 'f' && (size == "2" || size == "4" || size == "8");
  const bool integer =
      (kind == 'i' || kind == 'u') && (size == "1" || size == "2" || size == "4" || size == "8");
  const bool boolean = kind == 'b' && size == "1";
  if (!floating && !integer && !boolean) return refuse("is not supported");
  return ElementType{kind, static_cast<std::size_t>(size[0] - '0')};
}

template <class T>
T load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

/// Nothing when a uint64 does not fit.
std::optional<std::int64_t> decode_integer(const char* bytes, const ElementType& type) {
  const bool is_signed = type.kind == 'i';
  switch (type.bytes) {
    case 1:
      return is_signed ? std::int64_t{load<std::int8_t>(bytes)} : load<std::uint8_t>(bytes);
    case 2:
      return is_signed ? std::int64_t{load<std::int16_t>(bytes)} : load<std::uint16_t>(bytes);
    case 4:
      return is_signed ? std::int64_t{load<std::int32_t>(bytes)} : load<std::uint32_t>(bytes);
    default:
      if (is_signed) return load<std::int64_t>(bytes);
      const auto value = load<std::uint64_t>(bytes);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return std::nullopt;
      }
      return static_cast<std::int64_t>(value);
  }
}

Status read_integers(const std::string& path, std::istream& file, const ElementType& type,
                     std::int64_t count, NpyArray& array) {
  constexpr std::int64_t kChunk = 1 << 16;
  array.ints.reserve(static_cast<std::size_t>(count));
  std::vector<char> chunk(static_cast<std::size_t>(std::min(kChunk, count)) * type.bytes);
  for (std::int64_t first = 0; first < count; first += kChunk) {
    const std::int64_t elements = std::min(kChunk, count - first);
    file.read(chunk.data(), elements * static_cast<std::streamsize>(type.bytes));
    if (!file) return io_error(path + ": cannot be read to its end");
    for (std::int64_t e = 0; e < elements; ++e) {
      const char* bytes = chunk.data() + static_cast<std::size_t>(e) * type.bytes;
      const std::optional<std::int64_t> value = decode_integer(bytes, type);
      if (!value) {
        return io_error(fmt::format("{}: element {} is an integer beyond 64 signed bits", path,
                                    index_text(array.shape, first + e)));
      }
      array.ints.push_back(*value);
    }
  }
  return ok_status();
}

FloatType float_type(const ElementType& type) {
  if (type.bytes == 2) return FloatType::f16;
  return type.bytes == 4 ? FloatType::f32 : FloatType::f64;
}

}  // namespace

Result<NpyArray> read_npy(const std::string& path, NonFinite non_finite) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    return io_error(path + ": is a directory; accepted is an .npy file");
  }
  if (std::filesystem::exists(path, code) && !std::filesystem::is_regular_file(path, code)) {
    return io_error(path + ": is not a regular file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return io_error(fmt::format("{}: cannot be read ({})", path, std::strerror(errno)));
  const Result<Header> header = read_header(path, file);
  if (!header) return header.error();
  const Result<ElementType> type = element_type(path, header->descr);
  if (!type) return type.error();
  if (header->fortran_order && header->shape.size() > 1) {
    return io_error(path +
                    ": is in Fortran order; accepted is C order "
                    "(numpy.save(file, numpy.ascontiguousarray(a)))");
  }
  const std::optional<std::int64_t> count = element_count(header->shape, type->bytes);
  if (!count) {
    return io_error(fmt::format("{}: shape {} is too large", path, shape_text(header->shape)));
  }
  const std::int64_t data_start = file.tellg();
  file.seekg(0, std::ios::end);
  const std::int64_t found = static_cast<std::int64_t>(file.tellg()) - data_start;
  const std::int64_t needed = *count * static_cast<std::int64_t>(type->bytes);
  if (found != needed) {
    return io_error(fmt::format("{}: {}: shape {} of '{}' needs {} bytes of data, found {}", path,
                                found < needed ? "truncated" : "too long",
                                shape_text(header->shape), header->descr, needed, found));
  }
  file.seekg(data_start);
  NpyArray array;
  array.shape = header->shape;
  array.dtype = header->descr;
  array.is_integer = type->kind != 'f';
  const Status read = array.is_integer ? read_integers(path, file, *type, *count, array)
                                       : read_floats(file, path, float_type(*type), array.shape,
                                                     array.values, non_finite);
  if (!read) return read.error();
  return array;
}

Result<FloatArray> read_npy_floats(const std::string& path) {
  auto array = read_npy(path);
  if (!array) return array.error();
  if (array->is_integer) {
    return io_error(
        fmt::format("{}: holds integers ('{}'); accepted are float32, float64 and float16", path,
                    array->dtype));
  }
  return FloatArray{std::move(array->shape), std::move(array->values)};
}

}  // namespace attnbench
