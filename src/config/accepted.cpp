#include "config/accepted.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "config/grammar.h"
#include "config/sweep_config.h"
#include "config/text_file.h"

namespace attnbench {
namespace {

using config::rejected;

constexpr const char* kKeys = "cell, metric, limit, reason, expires";
constexpr const char* kDateGrammar = "a date such as 2030-12-31";
constexpr const char* kLimitGrammar =
    "a percentage (8%), a fraction (0.08) above 0 and below 1, or \"missing\"";

std::string place_of(std::string_view file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file, source.begin.line, source.begin.column);
}

std::string given_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return config::quoted(text->get());
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  return node.is_table() ? "a table" : node.is_array() ? "an array" : "a date or time";
}

std::optional<std::chrono::year_month_day> checked_date(int year, unsigned month, unsigned day) {
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                                         std::chrono::day{day}};
  return date.ok() ? std::optional(date) : std::nullopt;
}

/// "2030-12-31".
std::optional<std::chrono::year_month_day> parse_date(std::string_view text) {
  const auto digits = [&](std::size_t from, std::size_t count) {
    int value = 0;
    for (const char c : text.substr(from, count)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int year = digits(0, 4), month = digits(5, 2), day = digits(8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  return checked_date(year, static_cast<unsigned>(month), static_cast<unsigned>(day));
}

/// Reads one [[accept]] table.
class EntryReader {
 public:
  EntryReader(const toml::table& table, std::string_view file) : table_(table), file_(file) {
    entry_.place = place_of(file, table.source());
  }

  Result<AcceptedSlowdown> read() {
    for (const auto& [key, node] : table_) {
      if (Status done = read_key(key, node); !done) return done.error();
    }
    for (const char* key : {"cell", "limit", "reason", "expires"}) {
      if (!table_.contains(key)) {
        return rejected(entry_.place + ": accept", fmt::format("no {}", key),
                        fmt::format("the keys {} (metric alone may be left out)", kKeys));
      }
    }
    return std::move(entry_);
  }

 private:
  Status read_key(const toml::key& key, const toml::node& node) {
    const std::string what = fmt::format("{}: {}", place_of(file_, node.source()), key.str());
    if (key == "cell") return read_text(what, node, entry_.cell);
    if (key == "metric") return read_text(what, node, entry_.metric);
    if (key == "reason") return read_text(what, node, entry_.reason);
    if (key == "limit") return read_limit(what, node);
    if (key == "expires") return read_date(what, node);
    return rejected(place_of(file_, key.source()) + ": key", config::quoted(key.str()), kKeys);
  }

  static Status read_text(const std::string& what, const toml::node& node, std::string& text) {
    const auto* given = node.as_string();
    if (given == nullptr || config::trimmed(given->get()).empty()) {
      return rejected(what, given_text(node), "a text that is not empty");
    }
    text = given->get();
    return ok_status();
  }

  Status read_limit(const std::string& what, const toml::node& node) {
    std::string text;
    if (const auto* given = node.as_string()) {
      entry_.missing = given->get() == "missing";
      if (entry_.missing) return ok_status();
      text = given->get();
    } else if (const auto* number = node.as_floating_point()) {
      text = fmt::format("{}", number->get());
    }
    const auto limit = parse_fraction(text, what);
    if (!limit) return rejected(what, given_text(node), kLimitGrammar);
    entry_.limit = *limit;
    return ok_status();
  }

  Status read_date(const std::string& what, const toml::node& node) {
    std::optional<std::chrono::year_month_day> date;
    if (const auto* given = node.as_date()) {
      date = checked_date(given->get().year, given->get().month, given->get().day);
    } else if (const auto* text = node.as_string()) {
      date = parse_date(text->get());
    }
    if (!date) return rejected(what, given_text(node), kDateGrammar);
    entry_.expires = *date;
    return ok_status();
  }

  const toml::table& table_;
  std::string_view file_;
  AcceptedSlowdown entry_;
};

Result<std::vector<AcceptedSlowdown>> read_entries(const toml::table& root, std::string_view file) {
  std::vector<AcceptedSlowdown> entries;
  for (const auto& [key, node] : root) {
    const std::string what = fmt::format("{}: {}", place_of(file, key.source()), key.str());
    const toml::array* array = node.as_array();
    if (key != "accept" || array == nullptr) {
      return rejected(what, given_text(node), "tables [[accept]]");
    }
    for (const toml::node& item : *array) {
      const toml::table* table = item.as_table();
      if (table == nullptr) {
        return rejected(fmt::format("{}: accept", place_of(file, item.source())), given_text(item),
                        "tables [[accept]]");
      }
      auto entry = EntryReader(*table, file).read();
      if (!entry) return entry.error();
      entries.push_back(std::move(*entry));
    }
  }
  return entries;
}

}  // namespace

Result<std::vector<AcceptedSlowdown>> parse_accepted_slowdowns(std::string_view text,
                                                               std::string_view name) {
  try {
    const toml::table root = toml::parse(text, name);
    return read_entries(root, name);
  } catch (const toml::parse_error& error) {
    std::string description(error.description());
    std::ranges::replace(description, '\n', ' ');
    return usage_error(
        fmt::format("{}: not valid TOML: {}", place_of(name, error.source()), description));
  }
}

Result<std::vector<AcceptedSlowdown>> load_accepted_slowdowns(const std::string& path) {
  const auto text = config::read_text_file(path);
  if (!text) return text.error();
  return parse_accepted_slowdowns(*text, path);
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Backtracks to the last star only: what it takes more cannot help an earlier one.
  std::size_t p = 0, t = 0, star = std::string_view::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace attnbench
