#include "cli/config_flags.h"

#include <algorithm>
#include <stdexcept>

#include "cli/help.h"

namespace attnbench::cli {
namespace {

const ConfigKey& key_named(const std::string& name) {
  static const std::vector<ConfigKey> keys = config_keys();
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const ConfigKey& key) { return key.name == name; });
  if (found == keys.end()) throw std::logic_error("no configuration key named " + name);
  return *found;
}

/// Integer lists share one grammar, which is explained once per page.
bool is_integer_list(const ConfigKey& key) { return key.accepted.rfind("integers", 0) == 0; }

std::string value_name(const ConfigKey& key) {
  if (is_integer_list(key) || key.name == "variants" || key.accepted.rfind("list of", 0) == 0) {
    return "LIST";
  }
  static const std::map<std::string, std::string> names{
      {"budget", "TIME"},       {"timeout", "TIME"},         {"target-ci", "FRACTION"},
      {"memory-limit", "SIZE"}, {"seed", "INTEGER"},         {"max-samples", "INTEGER"},
      {"seq-q", "INTEGER"},     {"scale", "NUMBER"},         {"causal", "[off|on|off,on]"},
      {"title", "TEXT"},        {"input", "LIST"},           {"pass", "LIST"},
      {"format", "LIST"},       {"cache", "LIST"},           {"counters", "[auto|on|off]"},
      {"shape", "NAME"},        {"position", "LIST"},        {"softcap", "LIST"},
      {"rope-base", "NUMBER"},  {"sink", "[off|on|off,on]"}, {"key-lengths", "FILES"},
      {"mask", "FILES"},
  };
  const auto found = names.find(key.name);
  return found == names.end() ? "WORD" : found->second;
}

std::string description(const ConfigKey& key, const std::string& default_text) {
  std::string text = key.meaning;
  if (!is_integer_list(key) && key.name != "title" && key.name != "seed") {
    text += " Accepted: " + key.accepted + ".";
  }
  if (!default_text.empty()) text += " Default: " + default_text + ".";
  return text;
}

}  // namespace

const char* const kListGrammar =
    "LIST of integers: comma separated (256,1024), 4k = 4096, ranges 256:4096:x2 (by factor)\n"
    "and 1024:8192:+1024 (by step), both ends included where hit. '=' stands for the axis that "
    "this\n"
    "one follows (seq-k: seq, kv-heads: heads, dim-v: dim). Axes are crossed.";

void ConfigFlags::declare(CLI::App& app, const std::string& group,
                          const std::vector<std::string>& keys) {
  for (const std::string& name : keys) {
    const ConfigKey& key = key_named(name);
    const auto own = defaults_.find(name);
    options_[name] =
        add_text(app, "--" + name, values_[name], value_name(key),
                 description(key, own == defaults_.end() ? key.default_text : own->second), group);
  }
}

void ConfigFlags::declare_params(CLI::App& app, const std::string& group) {
  options_["param"] = add_texts(
      app, "--param", params_, "VARIANT.NAME=LIST",
      "Values of a variant's parameter, may be repeated (performer.features=64,128); NAME=LIST "
      "where exactly one variant is selected. 'attnbench list' names them.",
      group);
}

FlagTexts ConfigFlags::texts() const {
  FlagTexts texts = defaults_;
  for (const auto& [name, value] : values_) {
    if (given(name)) texts[name] = value;
  }
  return texts;
}

bool ConfigFlags::given(const std::string& key) const {
  const auto option = options_.find(key);
  return option != options_.end() && option->second->count() > 0;
}

bool ConfigFlags::any_given() const {
  return std::any_of(options_.begin(), options_.end(),
                     [](const auto& entry) { return entry.second->count() > 0; });
}

}  // namespace attnbench::cli
