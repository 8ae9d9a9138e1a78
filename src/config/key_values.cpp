#include "config/key_values.h"

#include <algorithm>

namespace attnbench::config {

using Kind = Element::Kind;

Error not_accepted(const KeyRule& rule, const Element& element) {
  return rejected(element.what, element.given(), rule.accepted);
}

Status check_kinds(const KeyRule& rule, const Setting& setting, std::initializer_list<Kind> kinds) {
  if (setting.elements.empty()) return rejected(setting.what, "an empty array", rule.accepted);
  for (const Element& element : setting.elements) {
    if (std::ranges::find(kinds, element.kind) == kinds.end()) return not_accepted(rule, element);
  }
  return ok_status();
}

Result<Element> single(const KeyRule& rule, const Setting& setting,
                       std::initializer_list<Kind> kinds) {
  if (setting.is_array) return rejected(setting.what, "an array", rule.accepted);
  if (Status status = check_kinds(rule, setting, kinds); !status) return status.error();
  return setting.elements.front();
}

Result<std::vector<std::int64_t>> integers(const KeyRule& rule, const Setting& setting,
                                           const IntegerRange& range) {
  if (Status status = check_kinds(rule, setting, {Kind::text, Kind::integer}); !status) {
    return status.error();
  }
  std::vector<std::int64_t> values;
  for (const Element& element : setting.elements) {
    const auto part = parse_integer_list(element.text, element.what, range);
    if (!part) return part.error();
    for (const std::int64_t value : *part) {
      if (std::ranges::find(values, value) == values.end()) values.push_back(value);
    }
  }
  return values;
}

Result<std::vector<std::string>> words(const KeyRule& rule, const Setting& setting,
                                       const std::vector<std::string>& known) {
  if (Status status = check_kinds(rule, setting, {Kind::text}); !status) return status.error();
  std::vector<std::string> values;
  for (const Element& element : setting.elements) {
    for (const TextPart& part : comma_parts(element.text)) {
      const std::string word(part.text);
      if (std::ranges::find(known, word) == known.end()) {
        return rejected(element.what, quoted(word), rule.accepted, nearest_word(word, known));
      }
      if (std::ranges::find(values, word) == values.end()) values.push_back(word);
    }
  }
  return values;
}

Result<std::vector<bool>> switches(const KeyRule& rule, const Setting& setting) {
  if (Status status = check_kinds(rule, setting, {Kind::text, Kind::boolean}); !status) {
    return status.error();
  }
  std::vector<bool> values;
  for (const Element& element : setting.elements) {
    // Only a bare flag may be empty; in a file it is a slip.
    if (element.text.empty() && !setting.from_flag) return not_accepted(rule, element);
    const auto part = parse_switch_list(element.text, element.what);
    if (!part) return part.error();
    for (const bool value : *part) {
      if (std::ranges::find(values, value) == values.end()) values.push_back(value);
    }
  }
  return values;
}

Result<std::string> one_word(const KeyRule& rule, const Setting& setting,
                             const std::vector<std::string>& known) {
  const auto element = single(rule, setting, {Kind::text});
  if (!element) return element.error();
  if (std::ranges::find(known, element->text) == known.end()) {
    return rejected(element->what, element->given(), rule.accepted,
                    nearest_word(element->text, known));
  }
  return element->text;
}

}  // namespace attnbench::config
