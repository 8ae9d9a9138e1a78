// Lists of integers: "256:4096:x2", "1024:8192:+1024", "1k,2k,4096".
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "config/grammar.h"
#include "config/sweep_config.h"

namespace attnbench::config {
namespace {

/// More values than anyone measures; a slip such as 1:1000000:+1 is caught before it is expanded.
constexpr std::size_t kMaxValues = 4096;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One pass over the text; every failure knows the offset at which it happened.
class IntegerListParser {
 public:
  IntegerListParser(std::string_view text, std::string_view what, const IntegerRange& range)
      : text_(text), what_(what), range_(range) {}

  Result<std::vector<std::int64_t>> parse() {
    std::size_t from = 0;
    while (from <= text_.size()) {
      const std::size_t comma = std::min(text_.find(',', from), text_.size());
      if (Status status = parse_item(from, comma); !status) return status.error();
      from = comma + 1;
    }
    return std::move(values_);
  }

 private:
  Error fail(std::size_t offset, const std::string& problem) const {
    return rejected(what_, fmt::format("{}: {} (position {})", quoted(text_), problem, offset + 1),
                    integer_list_grammar(range_));
  }

  std::string_view piece(std::size_t from, std::size_t to) const {
    return text_.substr(from, to - from);
  }

  /// Narrows [from, to) to what stands between blanks.
  void trim(std::size_t& from, std::size_t& to) const {
    const auto blank = [&](std::size_t at) { return text_[at] == ' ' || text_[at] == '\t'; };
    while (from < to && blank(from)) ++from;
    while (to > from && blank(to - 1)) --to;
  }

  Status parse_item(std::size_t from, std::size_t to) {
    trim(from, to);
    if (from == to) {
      return fail(from, text_.find(',') == std::string_view::npos ? "the list is empty"
                                                                  : "an element is missing");
    }
    const std::size_t first_colon = piece(from, to).find(':');
    if (first_colon == std::string_view::npos) {
      const auto value = parse_value(from, to);
      if (!value) return value.error();
      return append(*value, from);
    }
    return parse_range(from, from + first_colon, to);
  }

  /// [from, colon) is the first value, then the last value and the step.
  Status parse_range(std::size_t from, std::size_t colon, std::size_t to) {
    const std::size_t second = text_.substr(0, to).find(':', colon + 1);
    if (second == std::string_view::npos) return fail(to, "the range has no step");
    const auto first = parse_value(from, colon);
    if (!first) return first.error();
    const auto last = parse_value(colon + 1, second);
    if (!last) return last.error();
    if (*last < *first) {
      return fail(colon + 1, fmt::format("the range ends at {}, before its start {}",
                                         piece(colon + 1, second), piece(from, colon)));
    }
    return expand(*first, *last, second + 1, to);
  }

  Status expand(std::int64_t first, std::int64_t last, std::size_t step_at, std::size_t to) {
    const char kind = step_at < to ? text_[step_at] : '\0';
    if (kind != 'x' && kind != '+') {
      return fail(step_at, fmt::format("the step {} is neither xFACTOR nor +STEP",
                                       quoted(piece(step_at, to))));
    }
    const auto step = parse_count(step_at + 1, to);
    if (!step) return step.error();
    if (kind == 'x' && *step < 2) return fail(step_at, "the factor must be at least 2");
    if (kind == '+' && *step < 1) return fail(step_at, "the step must be at least 1");
    for (std::int64_t value = first;;) {
      if (Status status = append(value, step_at); !status) return status;
      // Compared before the arithmetic, so that the last step cannot overflow.
      const bool more = kind == 'x' ? value <= last / *step : value <= last - *step;
      if (!more) return ok_status();
      value = kind == 'x' ? value * *step : value + *step;
    }
  }

  Status append(std::int64_t value, std::size_t offset) {
    if (std::ranges::find(values_, value) != values_.end()) return ok_status();
    if (values_.size() == kMaxValues) {
      return fail(offset, fmt::format("more than {} values", kMaxValues));
    }
    values_.push_back(value);
    return ok_status();
  }

  /// A number or word within the accepted bounds.
  Result<std::int64_t> parse_value(std::size_t from, std::size_t to) const {
    const auto value = parse_count(from, to);
    if (!value) return value;
    if (*value < range_.minimum || *value > range_.maximum) {
      return fail(from, fmt::format("{} is out of range", piece(from, to)));
    }
    return value;
  }

  /// Digits with an optional k or m, or a word; not negative by construction.
  Result<std::int64_t> parse_count(std::size_t from, std::size_t to) const {
    const std::string_view token = piece(from, to);
    for (const auto& [word, value] : range_.words) {
      if (token == word) return value;
    }
    std::size_t digits = 0;
    while (digits < token.size() && is_digit(token[digits])) ++digits;
    if (token.starts_with('-') && token.size() > 1 && is_digit(token[1])) {
      return fail(from, fmt::format("{} is negative", token));
    }
    const std::string_view suffix = token.substr(digits);
    const bool kilo = suffix == "k" || suffix == "K";
    const bool mega = suffix == "m" || suffix == "M";
    if (digits == 0 || !(suffix.empty() || kilo || mega)) {
      return fail(from + (digits == 0 ? 0 : digits),
                  token.empty() ? std::string("a number is missing")
                                : fmt::format("{} is not an integer", quoted(token)));
    }
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(token.data(), token.data() + digits, value);
    const std::int64_t unit = mega ? 1048576 : kilo ? 1024 : 1;
    if (code != std::errc{} || value > std::numeric_limits<std::int64_t>::max() / unit) {
      return fail(from, fmt::format("{} is too large", token));
    }
    return value * unit;
  }

  std::string_view text_;
  std::string_view what_;
  const IntegerRange& range_;
  std::vector<std::int64_t> values_;
};

}  // namespace

std::string integer_list_grammar(const IntegerRange& range) {
  std::string words;
  for (const auto& [word, value] : range.words) words += fmt::format(" or {} (= {})", word, value);
  return fmt::format(
      "integers from {} to {}{}, comma separated, and ranges FIRST:LAST:xFACTOR or "
      "FIRST:LAST:+STEP; 4k = 4096, 1m = 1048576",
      range.minimum, range.maximum, words);
}

Result<std::vector<std::int64_t>> parse_integer_list(std::string_view text, std::string_view what,
                                                     const IntegerRange& range) {
  return IntegerListParser(text, what, range).parse();
}

}  // namespace attnbench::config

namespace attnbench {

Result<std::vector<std::int64_t>> parse_integer_list(std::string_view text, std::string_view what,
                                                     std::int64_t minimum, std::int64_t maximum) {
  return config::parse_integer_list(text, what, {minimum, maximum, {}});
}

}  // namespace attnbench
