#include "measure/system_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace attnbench::measure {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream all;
  all << in.rdbuf();
  if (in.bad()) return std::nullopt;
  std::string text = all.str();
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  text = trimmed(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> read_integer(const std::string& path) {
  const std::optional<std::string> text = read_text(path);
  return text ? parse_integer(*text) : std::nullopt;
}

std::optional<std::string> field_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(key)) continue;
    std::string_view rest = line.substr(key.size());
    const std::string_view value = trimmed(rest);
    // The key must end here: "model" is no "model name".
    if (value.starts_with(':')) return std::string(trimmed(value.substr(1)));
    const bool separated = !rest.empty() && (rest.front() == ' ' || rest.front() == '\t');
    if (separated && value.find(':') == std::string_view::npos) return std::string(value);
  }
  return std::nullopt;
}

std::vector<std::string> directory_entries(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

int count_cpu_list(std::string_view list) {
  int count = 0;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    const std::string_view part = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const std::optional<std::int64_t> first = parse_integer(part);
    if (!first) continue;
    const std::size_t dash = part.find('-', 1);
    const std::optional<std::int64_t> last =
        dash == std::string_view::npos ? first : parse_integer(part.substr(dash + 1));
    if (last && *last >= *first) count += static_cast<int>(*last - *first + 1);
  }
  return count;
}

}  // namespace attnbench::measure
