// The table of configuration keys: what each accepts and how it enters a SweepConfig.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"

namespace attnbench::config {

/// What the keys are applied to, and what they are checked against.
struct Draft {
  SweepConfig config;
  const Registry& registry;
  int machine_threads = 1;
};

/// One row of the table.
struct KeyRule {
  std::string_view name;
  std::string accepted;
  std::string_view default_text;
  std::string_view meaning;
  /// Checks the setting and stores it; errors name the element at fault.
  Status (*apply)(const KeyRule& rule, const Setting& setting, Draft& draft) = nullptr;
};

/// In the order of the documentation, which is also the order of application.
std::span<const KeyRule> key_rules();

/// The name with dashes for underscores.
std::string canonical_key(std::string_view key);

/// The error for a key that is not in the table; `extra` are further accepted words.
Error unknown_key(std::string_view what, std::string_view key,
                  const std::vector<std::string>& extra);

/// Checks parameter settings against the selected variants and stores them. File settings of
/// variants that a --variants flag deselected are checked and left out.
Status apply_params(const std::vector<ParamSetting>& settings, bool variants_from_flag,
                    Draft& draft);

}  // namespace attnbench::config
