#include "config/score_keys.h"

#include <algorithm>
#include <optional>

#include "config/key_values.h"

namespace attnbench::config {
namespace {

using Kind = Element::Kind;

template <class Value>
void add_new(const Value& value, std::vector<Value>& to) {
  if (std::ranges::find(to, value) == to.end()) to.push_back(value);
}

}  // namespace

const char* const kPositionGrammar = "none, sinusoidal, rope, alibi (comma separated)";
const char* const kSoftcapGrammar = "none and numbers above 0 (comma separated)";

Status apply_position(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto chosen = words(rule, setting, {"none", "sinusoidal", "rope", "alibi"});
  if (!chosen) return chosen.error();
  draft.config.position.clear();
  for (const std::string& word : *chosen) {
    const auto position = parse_position(word);
    if (!position) return position.error();
    draft.config.position.push_back(*position);
  }
  return ok_status();
}

Status apply_softcap(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (Status status = check_kinds(rule, setting, {Kind::text, Kind::integer, Kind::real});
      !status) {
    return status.error();
  }
  std::vector<std::optional<double>> caps;
  for (const Element& element : setting.elements) {
    const std::string_view text = element.text;
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t comma = std::min(text.find(',', from), text.size());
      const std::string_view word = trimmed(text.substr(from, comma - from));
      from = comma + 1;
      std::optional<double> cap;
      if (word != "none") {
        cap = parse_real(word);
        if (!cap || !(*cap > 0)) return not_accepted(rule, element);
      }
      add_new(cap, caps);
    }
  }
  draft.config.softcap = std::move(caps);
  return ok_status();
}

Status apply_sink(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (Status status = check_kinds(rule, setting, {Kind::text, Kind::boolean}); !status) {
    return status.error();
  }
  std::vector<bool> values;
  for (const Element& element : setting.elements) {
    // Only a bare flag may be empty; in a file it is a slip.
    if (element.text.empty() && !setting.from_flag) return not_accepted(rule, element);
    const auto part = parse_switch_list(element.text, element.what);
    if (!part) return part.error();
    for (const bool value : *part) add_new(value, values);
  }
  draft.config.sink = std::move(values);
  return ok_status();
}

}  // namespace attnbench::config
