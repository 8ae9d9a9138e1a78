// Reading the elements of a setting as one value, integers or words. Internal to config/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "config/grammar.h"
#include "config/keys.h"

namespace attnbench::config {

/// The error for an element that the rule does not accept.
Error not_accepted(const KeyRule& rule, const Element& element);

/// All elements are of these kinds, and there is at least one.
Status check_kinds(const KeyRule& rule, const Setting& setting,
                   std::initializer_list<Element::Kind> kinds);

/// The only element of a key that takes one value.
Result<Element> single(const KeyRule& rule, const Setting& setting,
                       std::initializer_list<Element::Kind> kinds);

/// The integers of all elements, without repeats.
Result<std::vector<std::int64_t>> integers(const KeyRule& rule, const Setting& setting,
                                           const IntegerRange& range);

/// The words of a comma-separated text, or of an array of such texts, each one of `known`.
Result<std::vector<std::string>> words(const KeyRule& rule, const Setting& setting,
                                       const std::vector<std::string>& known);

/// The switches of all elements, without repeats; a bare flag means on.
Result<std::vector<bool>> switches(const KeyRule& rule, const Setting& setting);

/// The only word of a key that takes one of `known`.
Result<std::string> one_word(const KeyRule& rule, const Setting& setting,
                             const std::vector<std::string>& known);

}  // namespace attnbench::config
