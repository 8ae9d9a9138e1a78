// Flags that mirror configuration keys (docs/configuration.md): their texts go to
// load_sweep_config, which knows the grammar.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/sweep_config.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace attnbench::cli {

class ConfigFlags {
 public:
  /// Declares --KEY for each key, in help group `group`, with the meaning, the accepted values and
  /// the default of config_keys(). `default_text` replaces the default where it is not empty.
  void declare(CLI::App& app, const std::string& group, const std::vector<std::string>& keys);
  /// Declares the repeatable --param.
  void declare_params(CLI::App& app, const std::string& group);
  /// The default that a subcommand has for a key, where it differs from a sweep's; call it before
  /// declare().
  void set_default(const std::string& key, const std::string& text) { defaults_[key] = text; }

  /// Flags that were given, and defaults that were set.
  FlagTexts texts() const;
  const std::vector<std::string>& params() const { return params_; }
  /// Whether the command line has this flag.
  bool given(const std::string& key) const;
  bool any_given() const;

 private:
  std::map<std::string, std::string> values_;
  std::map<std::string, CLI::Option*> options_;
  std::map<std::string, std::string> defaults_;
  std::vector<std::string> params_;
};

/// The integer list grammar, for the foot of help pages.
extern const char* const kListGrammar;

}  // namespace attnbench::cli
