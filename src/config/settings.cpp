#include "config/settings.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "config/grammar.h"
#include "config/keys.h"

namespace attnbench::config {
namespace {

std::string place(std::string_view file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file, source.begin.line, source.begin.column);
}

/// Turns TOML nodes into elements; `what` is worked out from each node's own position.
class TomlReader {
 public:
  explicit TomlReader(std::string_view file) : file_(file) {}

  Result<Settings> read(const toml::table& root) {
    std::map<std::string, std::string> spelling;
    for (const auto& [key, node] : in_file_order(root)) {
      const std::string canonical = canonical_key(key->str());
      const std::string what = place(file_, key->source()) + ": " + std::string(key->str());
      if (const auto [first, fresh] = spelling.emplace(canonical, key->str()); !fresh) {
        return usage_error(
            fmt::format("{}: the same key as {}, which is given already", what, first->second));
      }
      if (canonical == "param") {
        if (Status status = read_params(*node, what); !status) return status.error();
        continue;
      }
      const auto rules = key_rules();
      if (std::ranges::find(rules, canonical, &KeyRule::name) == rules.end()) {
        return unknown_key(what, canonical, {"param"});
      }
      settings_.keys.emplace(canonical, read_setting(*node, what, key->str()));
    }
    return std::move(settings_);
  }

 private:
  using Entry = std::pair<const toml::key*, const toml::node*>;

  /// A toml::table is sorted by key; the first error reported should be the first in the file.
  static std::vector<Entry> in_file_order(const toml::table& table) {
    std::vector<Entry> entries;
    for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
    std::ranges::stable_sort(entries, [](const Entry& a, const Entry& b) {
      const toml::source_position& left = a.first->source().begin;
      const toml::source_position& right = b.first->source().begin;
      return std::pair(left.line, left.column) < std::pair(right.line, right.column);
    });
    return entries;
  }

  Setting read_setting(const toml::node& node, std::string what, std::string_view key) const {
    Setting setting;
    setting.what = std::move(what);
    if (const toml::array* array = node.as_array()) {
      setting.is_array = true;
      for (const toml::node& item : *array) setting.elements.push_back(read_element(item, key));
    } else {
      setting.elements.push_back(read_element(node, key));
    }
    return setting;
  }

  Element read_element(const toml::node& node, std::string_view key) const {
    Element element;
    element.what = fmt::format("{}: {}", place(file_, node.source()), key);
    if (const auto* text = node.as_string()) {
      element.text = text->get();
    } else if (const auto* integer = node.as_integer()) {
      element.kind = Element::Kind::integer;
      element.text = fmt::format("{}", integer->get());
    } else if (const auto* real = node.as_floating_point()) {
      element.kind = Element::Kind::real;
      element.text = fmt::format("{}", real->get());
    } else if (const auto* boolean = node.as_boolean()) {
      element.kind = Element::Kind::boolean;
      element.text = boolean->get() ? "true" : "false";
    } else if (const toml::array* array = node.as_array()) {
      read_nested(*array, element);
    } else {
      element.kind = Element::Kind::other;
      element.text = node.is_table() ? "a table" : "a date or time";
    }
    return element;
  }

  /// [0, 5] within an array of a parameter's values is one list value: "0+5".
  static void read_nested(const toml::array& array, Element& element) {
    element.kind = Element::Kind::nested;
    for (const toml::node& item : array) {
      const auto* integer = item.as_integer();
      if (integer == nullptr) {
        element.kind = Element::Kind::other;
        element.text = "an array";
        return;
      }
      element.text += (element.text.empty() ? "" : "+") + fmt::format("{}", integer->get());
    }
  }

  Status read_params(const toml::node& node, const std::string& what) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return rejected(what, read_element(node, "param").given(),
                      "tables [param.VARIANT] with entries name = value or name = [values]");
    }
    for (const auto& [key, value] : in_file_order(*table)) {
      const toml::table* variant = value->as_table();
      if (variant == nullptr) {
        add_param("", *key, *value);
        continue;
      }
      for (const auto& [name, param] : in_file_order(*variant)) {
        add_param(std::string(key->str()), *name, *param);
      }
    }
    return ok_status();
  }

  void add_param(const std::string& variant, const toml::key& name, const toml::node& value) {
    const std::string dotted = (variant.empty() ? "" : variant + ".") + std::string(name.str());
    const std::string key = "param." + dotted;
    ParamSetting param{variant, std::string(name.str()), {}};
    param.setting =
        read_setting(value, fmt::format("{}: {}", place(file_, name.source()), key), key);
    settings_.params.push_back(std::move(param));
  }

  std::string_view file_;
  Settings settings_;
};

}  // namespace

std::string Element::given() const {
  switch (kind) {
    case Kind::text:
      return quoted(text);
    case Kind::integer:
      return text + " (an integer)";
    case Kind::real:
      return text + " (a number)";
    case Kind::boolean:
      return text + " (a boolean)";
    case Kind::nested:
      return "an array";
    case Kind::other:
      break;
  }
  return text;
}

Result<Settings> read_toml(std::string_view text, std::string_view name) {
  try {
    const toml::table root = toml::parse(text, name);
    return TomlReader(name).read(root);
  } catch (const toml::parse_error& error) {
    std::string description(error.description());
    std::ranges::replace(description, '\n', ' ');
    return usage_error(
        fmt::format("{}: not valid TOML: {}", place(name, error.source()), description));
  }
}

Result<Settings> read_flags(const FlagTexts& flags, const std::vector<std::string>& param_flags) {
  Settings settings;
  for (const auto& [flag, text] : flags) {
    const std::string what = "--" + flag;
    const auto rules = key_rules();
    if (std::ranges::find(rules, flag, &KeyRule::name) == rules.end()) {
      return unknown_key(what, flag, {"param"});
    }
    settings.keys[flag] = {what, {{Element::Kind::text, text, what}}, false, true};
  }
  for (const std::string& text : param_flags) {
    const std::size_t equals = text.find('=');
    const std::string left(trimmed(std::string_view(text).substr(0, equals)));
    const std::size_t dot = left.find('.');
    const bool dotted = dot != std::string::npos;
    ParamSetting param{dotted ? left.substr(0, dot) : "", dotted ? left.substr(dot + 1) : left, {}};
    if (equals == std::string::npos || param.name.empty() || (dotted && param.variant.empty())) {
      return rejected("--param", quoted(text), "VARIANT.NAME=LIST, or NAME=LIST for one variant");
    }
    const std::string what = "--param " + left;
    param.setting = {what, {{Element::Kind::text, text.substr(equals + 1), what}}, false, true};
    settings.params.push_back(std::move(param));
  }
  return settings;
}

}  // namespace attnbench::config
