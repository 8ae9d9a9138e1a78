// The small grammars of configuration values, and the one form of their error messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attention/result.h"
#include "attention/text_parts.h"

namespace attnbench::config {

/// A usage error in the form of every configuration error:
/// "<what>: given <given>; accepted: <accepted>; did you mean "<nearest>"?".
Error rejected(std::string_view what, std::string_view given, std::string_view accepted,
               const std::optional<std::string>& nearest = std::nullopt);

/// The text in double quotes, control characters escaped, so that a message stays one line.
std::string quoted(std::string_view text);

using attnbench::comma_parts;
using attnbench::TextPart;
using attnbench::trimmed;

/// What an integer list may hold.
struct IntegerRange {
  std::int64_t minimum = 1;
  std::int64_t maximum = 1;
  /// Words that stand for a number ("all" threads); they may be ends of ranges too.
  std::vector<std::pair<std::string, std::int64_t>> words;
};

/// "integers from 1 to 4096 (k = 1024, m = 1048576), comma separated, or ranges ...".
std::string integer_list_grammar(const IntegerRange& range);

/// The grammar of parse_integer_list, with words.
Result<std::vector<std::int64_t>> parse_integer_list(std::string_view text, std::string_view what,
                                                     const IntegerRange& range);

/// A finite decimal number, the whole text: nothing when it is anything else. No locale.
std::optional<double> parse_real(std::string_view text);

extern const char* const kFractionGrammar;
extern const char* const kDurationGrammar;
extern const char* const kBytesGrammar;
extern const char* const kSwitchGrammar;

}  // namespace attnbench::config
