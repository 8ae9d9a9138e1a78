// What a file and the command line said, key by key, before anything is understood.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"
#include "config/sweep_config.h"

namespace attnbench::config {

/// One value as written, with the place to name when it is not accepted.
struct Element {
  enum class Kind { text, integer, real, boolean, nested, other };
  Kind kind = Kind::text;
  std::string text;  ///< Of numbers and booleans: their text; of nested arrays: joined by '+'.
  std::string what;  ///< "sweep.toml:3:7: seq" or "--seq".
  /// How an error message quotes it: "\"4k\"", "true (a boolean)", "an array".
  std::string given() const;
};

/// A key with its value, or the elements of its array.
struct Setting {
  std::string what;  ///< Place and key, for errors about the key itself.
  std::vector<Element> elements;
  bool is_array = false;
  bool from_flag = false;
};

/// "variant.name = values", from [param.variant] of a file or --param.
struct ParamSetting {
  std::string variant;  ///< Empty when only the name was written.
  std::string name;
  Setting setting;
};

/// Settings under their canonical keys (dashes).
struct Settings {
  std::map<std::string, Setting> keys;
  std::vector<ParamSetting> params;
};

/// Reads TOML text; `name` stands for the file in messages. Only the form is checked here: syntax,
/// known keys, no key written twice (as a-b and a_b), `param` made of tables.
Result<Settings> read_toml(std::string_view text, std::string_view name);

/// The command line in the same form. Unknown flags, malformed or repeated --param: usage errors.
Result<Settings> read_flags(const FlagTexts& flags, const std::vector<std::string>& param_flags);

}  // namespace attnbench::config
