// Reading the small text files of /proc and /sys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attnbench::measure {

/// The whole file without the white space at its end; nothing when it cannot be read.
std::optional<std::string> read_text(const std::string& path);
/// The integer a text starts with.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<std::int64_t> read_integer(const std::string& path);
/// "key : value" (any of ':' and white space between): the first line whose key is `key`.
std::optional<std::string> field_of(std::string_view text, std::string_view key);
/// The entries of a directory, sorted; empty when it cannot be read.
std::vector<std::string> directory_entries(const std::string& path);
/// How many CPUs a list such as "0-3,8,10-11" names.
int count_cpu_list(std::string_view list);

}  // namespace attnbench::measure
