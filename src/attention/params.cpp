#include "attention/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace attnbench {
namespace {

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

bool in_range(const ParamSpec& spec, double value) {
  return std::isfinite(value) && (!spec.minimum || value >= *spec.minimum) &&
         (!spec.maximum || value <= *spec.maximum);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// "4096" and "4k".
std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t factor = 1;
  if (text.ends_with('k')) {
    factor = 1024;
    text.remove_suffix(1);
  }
  const auto value = parse_number<std::int64_t>(text);
  if (!value || std::abs(*value) > (std::int64_t{1} << 50)) return std::nullopt;
  return *value * factor;
}

std::optional<std::string> canonical_value(const ParamSpec& spec, std::string_view text) {
  switch (spec.type) {
    case ParamSpec::Type::integer: {
      const auto value = parse_integer(text);
      if (!value || !in_range(spec, static_cast<double>(*value))) return std::nullopt;
      return std::to_string(*value);
    }
    case ParamSpec::Type::real: {
      const auto value = parse_number<double>(text);
      if (!value || !in_range(spec, *value)) return std::nullopt;
      return fmt::format("{}", *value);
    }
    case ParamSpec::Type::boolean:
      if (text == "true" || text == "on" || text == "1") return "true";
      if (text == "false" || text == "off" || text == "0") return "false";
      return std::nullopt;
    case ParamSpec::Type::choice:
      if (std::ranges::find(spec.choices, text) == spec.choices.end()) return std::nullopt;
      return std::string(text);
    case ParamSpec::Type::integer_list: {
      std::string joined;
      if (text.empty() || text == "none") return "none";
      for (std::string_view part : split(text, '+')) {
        const auto value = parse_integer(part);
        if (!value || !in_range(spec, static_cast<double>(*value))) return std::nullopt;
        joined += (joined.empty() ? "" : "+") + std::to_string(*value);
      }
      return joined;
    }
  }
  return std::nullopt;
}

std::string range_text(const ParamSpec& spec) {
  if (spec.minimum && spec.maximum)
    return fmt::format(" in [{}, {}]", *spec.minimum, *spec.maximum);
  if (spec.minimum) return fmt::format(" >= {}", *spec.minimum);
  if (spec.maximum) return fmt::format(" <= {}", *spec.maximum);
  return "";
}

}  // namespace

std::string ParamSpec::accepted() const {
  std::string text;
  switch (type) {
    case Type::integer:
      text = "an integer" + range_text(*this);
      break;
    case Type::real:
      text = "a number" + range_text(*this);
      break;
    case Type::boolean:
      text = "true or false";
      break;
    case Type::choice:
      text = fmt::format("one of {}", fmt::join(choices, ", "));
      break;
    case Type::integer_list:
      text = "integers" + range_text(*this) + " joined by '+', or none";
      break;
  }
  return accepts_auto ? text + ", or auto" : text;
}

const std::string& ParamValues::text(const std::string& name) const {
  const auto it = values_.find(name);
  if (it == values_.end()) throw std::logic_error("no parameter named " + name);
  return it->second;
}

std::int64_t ParamValues::integer(const std::string& name) const {
  return parse_number<std::int64_t>(text(name)).value();
}

double ParamValues::real(const std::string& name) const {
  return parse_number<double>(text(name)).value();
}

bool ParamValues::boolean(const std::string& name) const { return text(name) == "true"; }

std::vector<std::int64_t> ParamValues::integer_list(const std::string& name) const {
  std::vector<std::int64_t> values;
  if (text(name) == "none") return values;
  for (std::string_view part : split(text(name), '+')) {
    values.push_back(parse_number<std::int64_t>(part).value());
  }
  return values;
}

std::string ParamValues::canonical() const {
  std::string joined;
  for (const auto& [name, value] : values_) {
    joined += (joined.empty() ? "" : ";") + name + "=" + value;
  }
  return joined;
}

Result<std::string> check_param(const ParamSpec& spec, std::string_view text) {
  if (spec.accepts_auto && text == "auto") return std::string("auto");
  if (auto value = canonical_value(spec, text)) return *value;
  return usage_error(
      fmt::format("parameter {} = '{}' is not {}", spec.name, text, spec.accepted()));
}

Result<ParamValues> resolve_params(const std::string& variant, const std::vector<ParamSpec>& specs,
                                   const std::map<std::string, std::string>& given) {
  ParamValues values;
  std::vector<std::string> names;
  for (const ParamSpec& spec : specs) {
    values.set(spec.name, spec.default_text);
    names.push_back(spec.name);
  }
  for (const auto& [name, text] : given) {
    const auto spec = std::ranges::find(specs, name, &ParamSpec::name);
    if (spec == specs.end()) {
      if (names.empty()) {
        return usage_error(fmt::format("{} has no parameters, '{}' was given", variant, name));
      }
      const auto nearest = nearest_word(name, names);
      return usage_error(fmt::format("{} has no parameter '{}'{}; it has {}", variant, name,
                                     nearest ? " (did you mean '" + *nearest + "'?)" : "",
                                     fmt::join(names, ", ")));
    }
    auto value = check_param(*spec, text);
    if (!value) return usage_error(variant + ": " + value.error().message);
    values.set(name, *value);
  }
  return values;
}

std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& known) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t substituted = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace attnbench
