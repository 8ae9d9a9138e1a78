#include "cli/report.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ostream>

namespace attnbench::cli {

ExitCode fail(const Context& context, const Error& error, std::string_view hint) {
  const char* prefix = error.kind == Error::Kind::internal ? "internal error (a bug): " : "";
  context.err << "attnbench: error: " << prefix << error.message << '\n';
  if (!hint.empty()) context.err << "attnbench: hint: " << hint << '\n';
  context.err.flush();
  return ExitCode::usage;
}

ExitCode fail_usage(const Context& context, std::string_view message, std::string_view hint) {
  return fail(context, usage_error(std::string(message)), hint);
}

void warn(const Context& context, std::string_view message) {
  context.err << "attnbench: warning: " << message << '\n';
  context.err.flush();
}

std::string shell_quoted(const std::vector<std::string>& words) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::string duration_text(double seconds) {
  if (seconds < 1e-6) return fmt::format("{:.3g} ns", seconds * 1e9);
  if (seconds < 1e-3) return fmt::format("{:.3g} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  if (seconds < 100) return fmt::format("{:.3g} s", seconds);
  return clock_text(seconds);
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string count_text(double count) {
  constexpr std::array<const char*, 6> kPrefixes{"", " k", " M", " G", " T", " P"};
  std::size_t prefix = 0;
  while (count >= 999.5 && prefix + 1 < kPrefixes.size()) {
    count /= 1000;
    ++prefix;
  }
  if (prefix == 0 && count == std::floor(count)) return fmt::format("{:.0f}", count);
  return fmt::format("{:.{}f}{}", count, count < 9.995 ? 2 : (count < 99.95 ? 1 : 0),
                     kPrefixes[prefix]);
}

}  // namespace attnbench::cli
