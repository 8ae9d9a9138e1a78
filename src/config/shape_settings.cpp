#include "config/shape_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "config/grammar.h"

namespace attnbench::config {
namespace {

constexpr std::string_view kNoShape = "none";

/// The shape that is named, or nothing.
Result<std::optional<ModelShape>> named_shape(const Setting& setting,
                                              const std::string& shapes_path) {
  const char* const accepted = "the name of one shape, or none ('attnbench list --shapes')";
  if (setting.is_array || setting.elements.size() != 1 ||
      setting.elements[0].kind != Element::Kind::text) {
    return rejected(setting.what, setting.is_array ? "an array" : setting.elements[0].given(),
                    accepted);
  }
  const Element& element = setting.elements[0];
  const std::string name(trimmed(element.text));
  if (name == kNoShape) return std::optional<ModelShape>();
  if (shapes_path.empty()) {
    return usage_error(
        fmt::format("{}: given {}; there is no table of shapes here", setting.what, quoted(name)));
  }
  const auto shapes = load_shapes(shapes_path);
  if (!shapes) return shapes.error();
  const auto found = std::ranges::find(*shapes, name, &ModelShape::name);
  if (found != shapes->end()) return std::optional<ModelShape>(*found);
  std::vector<std::string> known;
  for (const ModelShape& shape : *shapes) known.push_back(shape.name);
  return rejected(element.what, quoted(name), accepted, nearest_word(name, known));
}

/// One element per value, all as texts: a key's grammar does the rest.
Setting setting_of(const std::string& what, const std::vector<std::string>& values) {
  Setting setting;
  setting.what = what;
  setting.is_array = values.size() > 1;
  for (const std::string& value : values) {
    setting.elements.push_back({Element::Kind::text, value, what});
  }
  return setting;
}

std::vector<std::string> texts(const std::vector<std::int64_t>& values) {
  std::vector<std::string> result;
  for (const std::int64_t value : values) result.push_back(std::to_string(value));
  return result;
}

/// Every key that a shape decides, so that nothing of another shape stays.
Settings settings_of(const ModelShape& shape, const std::string& what) {
  Settings settings;
  const auto set = [&](const std::string& key, const std::vector<std::string>& values) {
    settings.keys[key] = setting_of(fmt::format("{} {}: {}", what, shape.name, key), values);
  };
  set("title", {shape.name});
  set("mode", {std::string(to_string(shape.mode))});
  set("heads", {std::to_string(shape.heads)});
  // Written as equal where they are, so that they follow another --heads or --dim.
  set("kv-heads", {shape.kv_heads == shape.heads ? "=" : std::to_string(shape.kv_heads)});
  set("dim", {std::to_string(shape.dim)});
  set("dim-v", {shape.dim_v == shape.dim ? "=" : std::to_string(shape.dim_v)});
  set("seq", texts(shape.seq));
  set("seq-k", shape.seq_k.empty() ? std::vector<std::string>{"="} : texts(shape.seq_k));
  set("causal", {shape.causal ? "on" : "off"});
  // What a model adds to its embeddings is no part of attention; a rotation of a part of each head
  // is none that the kernels have.
  const bool whole_rope = shape.position == "rope" && shape.rope_dim == 0;
  const bool in_attention = whole_rope || shape.position == "alibi";
  set("position", {in_attention ? shape.position : "none"});
  const bool own_base = whole_rope && shape.rope_base > 0;
  set("rope-base", {own_base ? fmt::format("{}", shape.rope_base) : "10000"});
  set("rope-pairs", {whole_rope && shape.rope_interleaved ? "interleaved" : "half"});
  return settings;
}

std::vector<ParamSetting> window_params(const ModelShape& shape, const std::string& what) {
  std::vector<ParamSetting> params;
  if (!shape.window) return params;
  const auto add = [&](const std::string& name, std::int64_t value) {
    const std::string place = fmt::format("{} {}: param.local.{}", what, shape.name, name);
    params.push_back({"local", name, setting_of(place, {std::to_string(value)})});
  };
  add("left", shape.window->first);
  add("right", shape.window->second);
  return params;
}

/// `above` laid over `below`.
Settings over(Settings below, Settings above) {
  for (auto& [key, setting] : above.keys) below.keys[key] = std::move(setting);
  for (auto& param : above.params) below.params.push_back(std::move(param));
  return below;
}

}  // namespace

Result<LayeredSettings> lay_over(Settings file, Settings flags, const std::string& shapes_path) {
  const bool by_flag = flags.keys.contains("shape");
  const Settings& source = by_flag ? flags : file;
  const auto given = source.keys.find("shape");
  std::optional<ModelShape> shape;
  std::string what;
  if (given != source.keys.end()) {
    auto named = named_shape(given->second, shapes_path);
    if (!named) return named.error();
    shape = std::move(*named);
    what = given->second.what;
  }
  if (!shape) return LayeredSettings{over(std::move(file), std::move(flags)), {}};
  Settings base = settings_of(*shape, what);
  Settings below =
      by_flag ? over(std::move(file), std::move(base)) : over(std::move(base), std::move(file));
  return LayeredSettings{over(std::move(below), std::move(flags)), window_params(*shape, what)};
}

}  // namespace attnbench::config
