#include "config/score_keys.h"

#include <algorithm>
#include <optional>

#include "config/key_values.h"

namespace attnbench::config {
namespace {

using Kind = Element::Kind;

}  // namespace

const char* const kPositionGrammar = "none, sinusoidal, rope, alibi (comma separated)";
const char* const kRopePairsGrammar = "half or interleaved";
const char* const kRopeBaseGrammar = "a number above 1";
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

Status apply_rope_pairs(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto chosen = words(rule, setting, {"half", "interleaved"});
  if (!chosen) return chosen.error();
  if (chosen->size() != 1) return not_accepted(rule, setting.elements.front());
  draft.config.rope.interleaved = chosen->front() == "interleaved";
  return ok_status();
}

Status apply_rope_base(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer, Kind::real});
  if (!element) return element.error();
  const auto base = parse_real(trimmed(element->text));
  if (!base || !(*base > 1)) return not_accepted(rule, *element);
  draft.config.rope.base = *base;
  return ok_status();
}

Status apply_softcap(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (Status status = check_kinds(rule, setting, {Kind::text, Kind::integer, Kind::real});
      !status) {
    return status.error();
  }
  std::vector<std::optional<double>> caps;
  for (const Element& element : setting.elements) {
    for (const TextPart& part : comma_parts(element.text)) {
      std::optional<double> cap;
      if (part.text != "none") {
        cap = parse_real(part.text);
        if (!cap || !(*cap > 0)) return not_accepted(rule, element);
      }
      if (std::ranges::find(caps, cap) == caps.end()) caps.push_back(cap);
    }
  }
  draft.config.softcap = std::move(caps);
  return ok_status();
}

Status apply_sink(const KeyRule& rule, const Setting& setting, Draft& draft) {
  auto values = switches(rule, setting);
  if (!values) return values.error();
  draft.config.sink = std::move(*values);
  return ok_status();
}

}  // namespace attnbench::config
