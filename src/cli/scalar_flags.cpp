#include "cli/scalar_flags.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "config/sweep_config.h"
#include "kernels/arena.h"

namespace attnbench::cli {
namespace {

constexpr std::int64_t kMaxThreads = 4096;

Error one_value(const std::string& flag, const std::string& text) {
  return usage_error(fmt::format("{}: given \"{}\"; accepted: one value", flag, text));
}

}  // namespace

Result<std::int64_t> parse_integer(const std::string& text, const std::string& flag,
                                   std::int64_t minimum, std::int64_t maximum) {
  const auto list = parse_integer_list(text, flag, minimum, maximum);
  if (!list) return list.error();
  if (list->size() != 1) return one_value(flag, text);
  return list->front();
}

Result<int> parse_threads(const std::string& text) {
  if (text == "all") return kernels::available_cpus();
  const auto count = parse_integer(text, "--threads", 1, kMaxThreads);
  if (!count) return count.error();
  return static_cast<int>(*count);
}

Result<std::uint64_t> parse_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, seed);
  if (code != std::errc() || stop != end) {
    return usage_error(fmt::format(
        "--seed: given \"{}\"; accepted: an integer from 0 to 18446744073709551615", text));
  }
  return seed;
}

Result<double> parse_number(const std::string& text, const std::string& flag) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, number);
  if (code != std::errc() || stop != end || !std::isfinite(number)) {
    return usage_error(fmt::format("{}: given \"{}\"; accepted: a finite number", flag, text));
  }
  return number;
}

Result<bool> parse_switch(const std::string& text, const std::string& flag) {
  const auto values = parse_switch_list(text, flag);
  if (!values) return values.error();
  if (values->size() != 1) return one_value(flag, text);
  return bool{values->front()};
}

Result<std::map<std::string, std::string>> parse_assignments(const std::vector<std::string>& texts,
                                                             const std::string& flag) {
  std::map<std::string, std::string> values;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return usage_error(fmt::format("{}: given \"{}\"; accepted: name=value", flag, text));
    }
    const std::string name = text.substr(0, equals);
    if (!values.emplace(name, text.substr(equals + 1)).second) {
      return usage_error(fmt::format("{}: {} is given twice", flag, name));
    }
  }
  return values;
}

}  // namespace attnbench::cli
