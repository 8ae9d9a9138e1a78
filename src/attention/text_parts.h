// Texts that hold lists.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace attnbench {

/// `text` without blanks and tabs at both ends.
inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// A part of a text, trimmed; it began at the text's position-th character, counted from 1.
struct TextPart {
  std::string_view text;
  std::size_t position = 1;
};

/// What stands between the commas of a text: one more part than there are commas, empty ones
/// included. Refers to `text`.
inline std::vector<TextPart> comma_parts(std::string_view text) {
  std::vector<TextPart> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    parts.push_back({trimmed(text.substr(from, comma - from)), from + 1});
    from = comma + 1;
  }
  return parts;
}

}  // namespace attnbench
