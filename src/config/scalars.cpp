// Fractions, durations, byte sizes and switches, and the form of error messages.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include "config/grammar.h"
#include "config/sweep_config.h"

namespace attnbench {
namespace config {

const char* const kFractionGrammar = "a percentage (2%) or a fraction (0.02), above 0 and below 1";
const char* const kDurationGrammar = "a time above 0 with the unit ms, s, m or h; seconds without";
const char* const kBytesGrammar =
    "a size above 0 in bytes, or with the unit B, kB, MB, GB, TB, KiB, MiB, GiB or TiB";
const char* const kSwitchGrammar = "off and on, comma separated (also false, true)";

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

Error rejected(std::string_view what, std::string_view given, std::string_view accepted,
               const std::optional<std::string>& nearest) {
  std::string message = fmt::format("{}: given {}; accepted: {}", what, given, accepted);
  if (nearest) message += fmt::format("; did you mean \"{}\"?", *nearest);
  return usage_error(std::move(message));
}

std::optional<double> parse_real(std::string_view text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

namespace {

/// Divided, not multiplied by 0.01 or 0.001, so that 7% is the number that 0.07 is.
struct Unit {
  std::string_view suffix;
  double factor;
  double divisor = 1;
};

/// "<number><unit>", blanks allowed between; nothing unless the result is finite and above 0. Where
/// one suffix ends another ("s" and "ms"), the longer one comes first in `units`.
std::optional<double> parse_quantity(std::string_view text, std::span<const Unit> units) {
  text = trimmed(text);
  Unit scale{"", 1};
  const auto unit = std::ranges::find_if(
      units, [&](const Unit& candidate) { return text.ends_with(candidate.suffix); });
  if (unit != units.end()) {
    scale = *unit;
    text.remove_suffix(unit->suffix.size());
  }
  const auto number = parse_real(trimmed(text));
  if (!number) return std::nullopt;
  const double value = *number * scale.factor / scale.divisor;
  if (!std::isfinite(value) || value <= 0) return std::nullopt;
  return value;
}

}  // namespace
}  // namespace config

using config::quoted;
using config::rejected;

Result<double> parse_fraction(std::string_view text, std::string_view what) {
  static constexpr std::array<config::Unit, 1> kUnits{{{"%", 1, 100}}};
  const auto value = config::parse_quantity(text, kUnits);
  if (!value || *value >= 1) return rejected(what, quoted(text), config::kFractionGrammar);
  return *value;
}

Result<double> parse_duration(std::string_view text, std::string_view what) {
  static constexpr std::array<config::Unit, 4> kUnits{
      {{"ms", 1, 1000}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  const auto value = config::parse_quantity(text, kUnits);
  if (!value) return rejected(what, quoted(text), config::kDurationGrammar);
  return *value;
}

Result<double> parse_bytes(std::string_view text, std::string_view what) {
  static constexpr std::array<config::Unit, 9> kUnits{{{"KiB", 1024.0},
                                                       {"MiB", 1048576.0},
                                                       {"GiB", 1073741824.0},
                                                       {"TiB", 1099511627776.0},
                                                       {"kB", 1e3},
                                                       {"MB", 1e6},
                                                       {"GB", 1e9},
                                                       {"TB", 1e12},
                                                       {"B", 1}}};
  const auto value = config::parse_quantity(text, kUnits);
  if (!value) return rejected(what, quoted(text), config::kBytesGrammar);
  return *value;
}

Result<std::vector<bool>> parse_switch_list(std::string_view text, std::string_view what) {
  if (text.empty()) return std::vector<bool>{true};
  std::vector<bool> values;
  for (const auto& [word, position] : comma_parts(text)) {
    const bool on = word == "on" || word == "true";
    if (!on && word != "off" && word != "false") {
      return rejected(
          what,
          fmt::format("{}: {} is not a switch (position {})", quoted(text), quoted(word), position),
          config::kSwitchGrammar);
    }
    if (std::ranges::find(values, on) == values.end()) values.push_back(on);
  }
  return values;
}

}  // namespace attnbench
