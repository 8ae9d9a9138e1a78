#include "attention/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>

#include "attention/aux_tensor.h"

namespace attnbench {
namespace {

using nlohmann::json;

/// The header of a whole model's file has about a mebibyte.
constexpr std::uint64_t kMaxHeaderBytes = 16 << 20;

/// Types of the format with their sizes in bytes.
const std::map<std::string, std::size_t>& element_sizes() {
  static const std::map<std::string, std::size_t> sizes{
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  return sizes;
}

/// A text of the header in a message: one line, not too long.
std::string shown(const std::string& text) {
  constexpr std::size_t kLongest = 80;
  std::string result = text.substr(0, kLongest);
  std::ranges::replace_if(
      result, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return result + (text.size() > kLongest ? "..." : "");
}

std::optional<FloatType> float_type(const std::string& dtype) {
  if (dtype == "F16") return FloatType::f16;
  if (dtype == "BF16") return FloatType::bf16;
  if (dtype == "F32") return FloatType::f32;
  if (dtype == "F64") return FloatType::f64;
  return std::nullopt;
}

/// The JSON text as a value; an object that has a key twice is refused (the library keeps one of
/// the two without a word), and so is nesting beyond what the format has.
Result<json> parse_header(const std::string& path, const std::string& text) {
  constexpr int kDeepest = 4;
  std::vector<std::set<std::string>> keys;
  std::string twice;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    too_deep = too_deep || depth > kDeepest;
    return true;
  };
  json header = json::parse(text, watch, /*allow_exceptions=*/false);
  if (header.is_discarded()) return io_error(path + ": the safetensors header is not JSON");
  if (!header.is_object()) {
    return io_error(path + ": the safetensors header is not a JSON object");
  }
  if (!twice.empty()) {
    return io_error(fmt::format("{}: the safetensors header has '{}' twice", path, shown(twice)));
  }
  if (too_deep) return io_error(path + ": the safetensors header is nested too deeply");
  return header;
}

/// A list of non-negative integers; nothing when it is anything else.
std::optional<std::vector<std::int64_t>> sizes_of(const json& value) {
  if (!value.is_array()) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const json& each : value) {
    if (!each.is_number_unsigned()) return std::nullopt;
    const auto size = each.get<std::uint64_t>();
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return std::nullopt;
    }
    sizes.push_back(static_cast<std::int64_t>(size));
  }
  return sizes;
}

/// One entry of the header, checked against the number of data bytes.
Result<SafetensorsEntry> make_entry(const std::string& where, const json& value,
                                    std::uint64_t data_bytes) {
  const auto refuse = [&](const std::string& what) {
    return io_error(fmt::format("{}: {}", where, what));
  };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets") || !value["dtype"].is_string()) {
    return refuse("the header entry lacks dtype, shape or data_offsets");
  }
  SafetensorsEntry entry;
  entry.dtype = value["dtype"].get<std::string>();
  const auto known = element_sizes().find(entry.dtype);
  if (known == element_sizes().end()) {
    return refuse(fmt::format("dtype '{}' is not known; accepted are F16, BF16, F32, F64",
                              shown(entry.dtype)));
  }
  const auto shape = sizes_of(value["shape"]);
  if (!shape) return refuse("the shape is not a list of sizes");
  entry.shape = *shape;
  const auto range = sizes_of(value["data_offsets"]);
  if (!range || range->size() != 2) return refuse("data_offsets is not a pair of byte positions");
  entry.begin = static_cast<std::uint64_t>((*range)[0]);
  entry.end = static_cast<std::uint64_t>((*range)[1]);
  if (entry.begin > entry.end) {
    return refuse(
        fmt::format("data_offsets end ({}) before they begin ({})", entry.end, entry.begin));
  }
  if (entry.end > data_bytes) {
    return refuse(fmt::format("truncated: its data end at byte {}, the file has {} bytes of data",
                              entry.end, data_bytes));
  }
  const auto count = element_count(entry.shape, known->second);
  if (!count) return refuse(fmt::format("shape {} is too large", shape_text(entry.shape)));
  const std::uint64_t needed = static_cast<std::uint64_t>(*count) * known->second;
  if (entry.end - entry.begin != needed) {
    return refuse(fmt::format("shape {} of {} needs {} bytes of data, data_offsets span {}",
                              shape_text(entry.shape), entry.dtype, needed,
                              entry.end - entry.begin));
  }
  return entry;
}

/// The tensors must cover the data without a gap and without sharing a byte.
Status check_cover(const std::string& path, const SafetensorsHeader& header,
                   std::uint64_t data_bytes) {
  std::vector<std::pair<const SafetensorsEntry*, std::string>> order;
  for (const auto& [name, entry] : header.tensors) order.emplace_back(&entry, name);
  std::ranges::sort(order, {},
                    [](const auto& each) { return std::pair(each.first->begin, each.first->end); });
  std::uint64_t covered = 0;
  std::string before;
  for (const auto& [entry, name] : order) {
    if (entry->begin < covered) {
      return io_error(
          fmt::format("{}: the data of '{}' and '{}' overlap", path, shown(before), shown(name)));
    }
    if (entry->begin > covered) break;
    covered = entry->end;
    before = name;
  }
  if (covered == data_bytes) return ok_status();
  return io_error(
      fmt::format("{}: the bytes from {} on belong to no tensor (too long, or a damaged header)",
                  path, header.data_start + covered));
}

Result<SafetensorsHeader> understand(const std::string& path, const std::string& text,
                                     std::uint64_t file_bytes) {
  auto parsed = parse_header(path, text);
  if (!parsed) return parsed.error();
  SafetensorsHeader header;
  header.data_start = 8 + text.size();
  const std::uint64_t data_bytes = file_bytes - header.data_start;
  for (const auto& [name, value] : parsed->items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) return io_error(path + ": __metadata__ is not an object");
      for (const auto& [key, fact] : value.items()) {
        if (!fact.is_string()) {
          return io_error(path + ": __metadata__ does not map texts to texts");
        }
        header.metadata[key] = fact.get<std::string>();
      }
      continue;
    }
    auto entry = make_entry(fmt::format("{}: tensor '{}'", path, shown(name)), value, data_bytes);
    if (!entry) return entry.error();
    header.tensors[name] = std::move(*entry);
  }
  if (Status status = check_cover(path, header, data_bytes); !status) return status.error();
  return header;
}

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(const std::string& path) {
  std::error_code code;
  if (std::filesystem::exists(path, code) && !std::filesystem::is_regular_file(path, code)) {
    return io_error(path + ": is not a regular file; accepted is a .safetensors file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return io_error(fmt::format("{}: cannot be read ({})", path, std::strerror(errno)));
  const auto file_bytes = static_cast<std::uint64_t>(std::filesystem::file_size(path, code));
  std::uint64_t length = 0;
  std::array<char, sizeof(length)> start{};
  file.read(start.data(), start.size());
  if (!file || code) return io_error(path + ": not a safetensors file (shorter than 8 bytes)");
  std::memcpy(&length, start.data(), sizeof(length));
  if (length > kMaxHeaderBytes || length > file_bytes - sizeof(length)) {
    return io_error(
        fmt::format("{}: not a safetensors file, or truncated: the header should have {} bytes "
                    "(accepted are up "
                    "to {}), the file has {} in all",
                    path, length, kMaxHeaderBytes, file_bytes));
  }
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  if (!file) return io_error(path + ": truncated in the safetensors header");
  return understand(path, text, file_bytes);
}

Result<FloatArray> read_safetensors(const std::string& path, const std::string& name) {
  const auto header = read_safetensors_header(path);
  if (!header) return header.error();
  const auto found = header->tensors.find(name);
  if (found == header->tensors.end()) {
    constexpr std::size_t kShown = 12;
    std::vector<std::string> names;
    for (const auto& [each, entry] : header->tensors) {
      if (names.size() < kShown) names.push_back(shown(each));
    }
    return io_error(fmt::format("{}: has no tensor '{}'; it has {}{}", path, name,
                                names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
                                header->tensors.size() > kShown ? ", ..." : ""));
  }
  const SafetensorsEntry& entry = found->second;
  const auto type = float_type(entry.dtype);
  const std::string where = fmt::format("{}: tensor '{}'", path, name);
  if (!type) {
    return io_error(
        fmt::format("{}: dtype {}; accepted are F16, BF16, F32, F64", where, entry.dtype));
  }
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(header->data_start + entry.begin));
  if (!file) return io_error(path + ": cannot be read");
  FloatArray array{entry.shape, {}};
  if (Status status = read_floats(file, where, *type, entry.shape, array.values); !status) {
    return status.error();
  }
  return array;
}

bool is_safetensors_path(const std::string& path) { return path.ends_with(".safetensors"); }

}  // namespace attnbench
