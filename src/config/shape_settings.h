// What `shape` stands for: settings of the other keys.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "config/shapes.h"

namespace attnbench::config {

/// The file's settings with the flags' laid over them; parameters of both, the file's first. A
/// shape fills in below whoever names it: --shape replaces the file's values and gives way to other
/// flags, a file's shape gives way to both. `shapes_path` is read only when a shape is named.
struct LayeredSettings {
  Settings settings;
  /// Of the shape's window, below all others; for variants that are selected and have them.
  std::vector<ParamSetting> shape_params;
};
Result<LayeredSettings> lay_over(Settings file, Settings flags, const std::string& shapes_path);

}  // namespace attnbench::config
