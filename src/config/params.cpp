// Parameter sweeps: [param.variant] tables and --param.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "config/grammar.h"
#include "config/keys.h"

namespace attnbench::config {
namespace {

using Kind = Element::Kind;

bool is_selected(const Draft& draft, const std::string& variant) {
  return std::ranges::find(draft.config.variants, variant) != draft.config.variants.end();
}

/// Which variant a parameter setting is about.
Result<const Variant*> find_variant(const ParamSetting& param, const Draft& draft) {
  const std::vector<std::string>& selected = draft.config.variants;
  if (param.variant.empty()) {
    if (selected.size() == 1) return draft.registry.find(selected.front());
    return usage_error(fmt::format(
        "{}: a parameter without its variant needs exactly one selected variant; selected: {}; "
        "accepted: VARIANT.{}",
        param.setting.what, fmt::join(selected, ", "), param.name));
  }
  if (const Variant* variant = draft.registry.find(param.variant)) return variant;
  const auto known = draft.registry.names();
  return rejected(param.setting.what, fmt::format("unknown variant {}", quoted(param.variant)),
                  fmt::format("{}", fmt::join(known, ", ")), nearest_word(param.variant, known));
}

Result<const ParamSpec*> find_spec(const ParamSetting& param, const VariantInfo& info) {
  std::vector<std::string> known;
  for (const ParamSpec& spec : info.params) {
    if (spec.name == param.name || spec.name == canonical_key(param.name)) return &spec;
    known.push_back(spec.name);
  }
  if (known.empty()) {
    return usage_error(
        fmt::format("{}: variant {} has no parameters", param.setting.what, info.name));
  }
  return rejected(param.setting.what,
                  fmt::format("unknown parameter {} of variant {}", quoted(param.name), info.name),
                  fmt::format("{}", fmt::join(known, ", ")), nearest_word(param.name, known));
}

/// Ranges of an integer parameter are expanded by the grammar of the axes.
Result<std::vector<std::string>> expand_range(const ParamSpec& spec, std::string_view text,
                                              const std::string& what) {
  IntegerRange range{0, std::int64_t{1} << 40, {}};
  if (spec.minimum && *spec.minimum > 0) {
    range.minimum = static_cast<std::int64_t>(std::ceil(*spec.minimum));
  }
  if (spec.maximum && *spec.maximum < static_cast<double>(range.maximum)) {
    range.maximum = static_cast<std::int64_t>(std::floor(*spec.maximum));
  }
  const auto values = parse_integer_list(text, what, range);
  if (!values) return values.error();
  std::vector<std::string> texts;
  for (const std::int64_t value : *values) texts.push_back(std::to_string(value));
  return texts;
}

/// The texts that one element stands for: comma separated, ranges expanded.
Result<std::vector<std::string>> split_element(const ParamSpec& spec, const Element& element) {
  std::vector<std::string> texts;
  const std::string_view text = element.text;
  for (const auto& [part, position] : comma_parts(text)) {
    if (part.empty()) {
      return rejected(element.what,
                      fmt::format("{}: a value is missing (position {})", quoted(text), position),
                      spec.accepted());
    }
    if (spec.type == ParamSpec::Type::integer && part.find(':') != std::string_view::npos) {
      auto expanded = expand_range(spec, part, element.what);
      if (!expanded) return expanded.error();
      texts.insert(texts.end(), expanded->begin(), expanded->end());
    } else {
      texts.emplace_back(part);
    }
  }
  return texts;
}

Result<std::vector<std::string>> check_values(const ParamSpec& spec, const Setting& setting) {
  if (setting.elements.empty()) return rejected(setting.what, "an empty array", spec.accepted());
  std::vector<std::string> values;
  for (const Element& element : setting.elements) {
    const bool nested_list =
        element.kind == Kind::nested && spec.type == ParamSpec::Type::integer_list;
    if (element.kind == Kind::other || (element.kind == Kind::nested && !nested_list)) {
      return rejected(element.what, element.given(), spec.accepted());
    }
    // An empty nested array is the empty list, which check_param spells.
    const auto texts =
        nested_list ? std::vector<std::string>{element.text} : split_element(spec, element);
    if (!texts) return texts.error();
    for (const std::string& text : *texts) {
      const auto value = check_param(spec, text);
      if (!value)
        return rejected(element.what, quoted(text), spec.accepted(),
                        nearest_word(text, spec.choices));
      if (std::ranges::find(values, *value) == values.end()) values.push_back(*value);
    }
  }
  return values;
}

}  // namespace

Status apply_params(const std::vector<ParamSetting>& settings, bool variants_from_flag,
                    Draft& draft) {
  std::map<std::pair<std::string, std::string>, bool> given;  // -> whether by a flag
  for (const ParamSetting& param : settings) {
    const auto variant = find_variant(param, draft);
    if (!variant) return variant.error();
    const VariantInfo& info = (*variant)->info();
    const auto spec = find_spec(param, info);
    if (!spec) return spec.error();
    const auto values = check_values(**spec, param.setting);
    if (!values) return values.error();
    if (!is_selected(draft, info.name)) {
      // A flag that narrows a file's variants should not force an edit of the file.
      if (variants_from_flag && !param.setting.from_flag) continue;
      return usage_error(fmt::format("{}: variant {} is not selected; selected: {}",
                                     param.setting.what, info.name,
                                     fmt::join(draft.config.variants, ", ")));
    }
    const auto [first, fresh] =
        given.emplace(std::pair(info.name, (*spec)->name), param.setting.from_flag);
    if (!fresh && first->second == param.setting.from_flag) {
      return usage_error(
          fmt::format("{}: given more than once; accepted: one list of values, separated by commas",
                      param.setting.what));
    }
    first->second = param.setting.from_flag;
    draft.config.params[info.name][(*spec)->name] = *values;
  }
  return ok_status();
}

}  // namespace attnbench::config
