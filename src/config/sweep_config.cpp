#include "config/sweep_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "attention/capture.h"
#include "config/grammar.h"
#include "config/keys.h"
#include "config/settings.h"
#include "config/shape_settings.h"
#include "config/text_file.h"

namespace attnbench {
namespace {

using config::Draft;
using config::Setting;
using config::Settings;

/// More cells than anyone waits for: a slip in a list, caught before the plan is laid out.
constexpr double kMaxCells = 1e6;

Status apply_defaults(const Settings& settings, Draft& draft) {
  if (!settings.keys.contains("variants")) draft.config.variants = draft.registry.names();
  if (draft.config.variants.empty()) return usage_error("variants: none are registered");
  if (!settings.keys.contains("seq")) draft.config.seq = {256, 512, 1024, 2048, 4096};
  if (!settings.keys.contains("threads")) {
    draft.config.threads = {1};
    if (draft.machine_threads > 1) draft.config.threads.push_back(draft.machine_threads);
  }
  return ok_status();
}

/// --seq-q belongs to decode mode, --seq-k to the others.
Status check_lengths(const Settings& settings, const SweepConfig& config) {
  const bool decode = config.mode == Mode::decode;
  const auto seq_q = settings.keys.find("seq-q");
  if (seq_q != settings.keys.end() && !decode) {
    return usage_error(
        fmt::format("{}: given in mode {}; accepted: in mode decode only, where seq is the key "
                    "length; elsewhere seq is the query length",
                    seq_q->second.what, to_string(config.mode)));
  }
  const auto seq_k = settings.keys.find("seq-k");
  if (seq_k != settings.keys.end() && decode && !config.seq_k.empty()) {
    return usage_error(
        fmt::format("{}: given in mode decode; accepted: in modes self and cross; in mode decode "
                    "seq is the key length and seq-q the query length",
                    seq_k->second.what));
  }
  return ok_status();
}

/// Recorded inputs alone decide batch, heads and dimensions: such an axis, given beside them, would
/// be ignored without a word. Those of a file whose inputs a flag replaces are dropped.
Status settle_recorded_axes(const Settings& settings, SweepConfig& config) {
  if (!config.recorded_only()) return ok_status();
  const bool input_from_flag = settings.keys.at("input").from_flag;
  for (const char* axis : {"batch", "heads", "kv-heads", "dim", "dim-v"}) {
    const auto setting = settings.keys.find(axis);
    if (setting == settings.keys.end()) continue;
    if (input_from_flag && !setting->second.from_flag) continue;
    return usage_error(
        fmt::format("{}: given with recorded inputs only; accepted: beside drawn inputs; batch, "
                    "heads and dimensions of a recording are those of its file",
                    setting->second.what));
  }
  const SweepConfig defaults;
  config.batch = defaults.batch;
  config.heads = defaults.heads;
  config.kv_heads = defaults.kv_heads;
  config.dim = defaults.dim;
  config.dim_v = defaults.dim_v;
  return ok_status();
}

Status check_scale(const Settings& settings, const Draft& draft) {
  if (!draft.config.scale) return ok_status();
  std::vector<std::string> without;
  for (const std::string& name : draft.config.variants) {
    if (!draft.registry.find(name)->info().has_scale) without.push_back(name);
  }
  if (without.empty()) return ok_status();
  return usage_error(
      fmt::format("{}: given {}; selected variants that define no scale: {}; accepted: a scale "
                  "where every selected variant has one",
                  settings.keys.at("scale").what, *draft.config.scale, fmt::join(without, ", ")));
}

Status check_cells(const SweepConfig& config) {
  double params = 0;  // Parameter combinations over all variants.
  for (const std::string& variant : config.variants) {
    double combinations = 1;
    if (const auto sweeps = config.params.find(variant); sweeps != config.params.end()) {
      for (const auto& [name, values] : sweeps->second) {
        combinations *= static_cast<double>(values.size());
      }
    }
    params += combinations;
  }
  const auto axis = [](std::size_t size) {
    return static_cast<double>(std::max<std::size_t>(size, 1));
  };
  const double cells =
      params * axis(config.seq.size()) * axis(config.seq_k.size()) * axis(config.threads.size()) *
      axis(config.batch.size()) * axis(config.heads.size()) * axis(config.kv_heads.size()) *
      axis(config.dim.size()) * axis(config.dim_v.size()) * axis(config.causal.size()) *
      axis(config.key_lengths.size()) * axis(config.mask.size()) * axis(config.position.size()) *
      axis(config.softcap.size()) * axis(config.sink.size()) * axis(config.pass.size()) *
      axis(config.input.size()) * axis(config.cache.size());
  if (cells <= kMaxCells) return ok_status();
  return usage_error(fmt::format(
      "the sweep has {:.0f} cells (all axes crossed); accepted: at most {:.0f}", cells, kMaxCells));
}

/// Parameters of a selected variant by that name, for which they were meant, and not set otherwise.
std::vector<config::ParamSetting> with_shape_params(
    const Settings& settings, const std::vector<config::ParamSetting>& of_shape,
    const SweepConfig& config, const Registry& registry) {
  std::vector<config::ParamSetting> params = settings.params;
  for (const config::ParamSetting& param : of_shape) {
    const bool selected =
        std::ranges::find(config.variants, param.variant) != config.variants.end();
    const bool set = std::ranges::any_of(settings.params, [&](const config::ParamSetting& other) {
      return (other.variant.empty() || other.variant == param.variant) && other.name == param.name;
    });
    if (!selected || set) continue;
    const auto& specs = registry.find(param.variant)->info().params;
    if (std::ranges::find(specs, param.name, &ParamSpec::name) != specs.end()) {
      params.push_back(param);
    }
  }
  return params;
}

Result<SweepConfig> build(const config::LayeredSettings& layered, const Registry& registry,
                          int machine_threads) {
  const Settings& settings = layered.settings;
  Draft draft{{}, registry, std::max(machine_threads, 1)};
  for (const config::KeyRule& rule : config::key_rules()) {
    const auto setting = settings.keys.find(std::string(rule.name));
    if (setting == settings.keys.end()) continue;
    if (Status status = rule.apply(rule, setting->second, draft); !status) return status.error();
  }
  if (Status status = apply_defaults(settings, draft); !status) return status.error();
  const auto variants = settings.keys.find("variants");
  const bool narrowed = variants != settings.keys.end() && variants->second.from_flag;
  const auto params =
      with_shape_params(settings, layered.shape_params, draft.config, draft.registry);
  if (Status status = apply_params(params, narrowed, draft); !status) {
    return status.error();
  }
  if (Status status = check_lengths(settings, draft.config); !status) return status.error();
  if (Status status = settle_recorded_axes(settings, draft.config); !status) {
    return status.error();
  }
  if (Status status = check_scale(settings, draft); !status) return status.error();
  if (Status status = check_cells(draft.config); !status) return status.error();
  return std::move(draft.config);
}

}  // namespace

bool SweepConfig::recorded_only() const { return std::ranges::all_of(input, is_capture); }

std::string_view to_string(CounterUse use) {
  if (use == CounterUse::automatic) return "auto";
  return use == CounterUse::on ? "on" : "off";
}

std::string_view to_string(CacheState state) { return state == CacheState::cold ? "cold" : "hot"; }

Result<SweepConfig> parse_sweep_config(std::string_view toml_text, std::string_view name,
                                       const FlagTexts& flags,
                                       const std::vector<std::string>& param_flags,
                                       const Registry& registry, int machine_threads,
                                       const std::string& shapes_path) {
  auto from_file = config::read_toml(toml_text, name);
  if (!from_file) return from_file.error();
  auto from_flags = config::read_flags(flags, param_flags);
  if (!from_flags) return from_flags.error();
  const auto layered = config::lay_over(std::move(*from_file), std::move(*from_flags), shapes_path);
  if (!layered) return layered.error();
  return build(*layered, registry, machine_threads);
}

Result<SweepConfig> load_sweep_config(const std::optional<std::string>& toml_path,
                                      const FlagTexts& flags,
                                      const std::vector<std::string>& param_flags,
                                      const Registry& registry, int machine_threads,
                                      const std::string& shapes_path) {
  std::string text;
  if (toml_path) {
    auto read = config::read_text_file(*toml_path);
    if (!read) return read.error();
    text = std::move(*read);
  }
  return parse_sweep_config(text, toml_path.value_or(""), flags, param_flags, registry,
                            machine_threads, shapes_path);
}

}  // namespace attnbench
