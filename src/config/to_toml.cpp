// A SweepConfig as TOML text: every key written out, so that later defaults change nothing.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "config/sweep_config.h"

namespace attnbench {
namespace {

/// A TOML basic string.
std::string text_value(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string text_value(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ", ") + text_value(text);
  return "[" + joined + "]";
}

std::string integers_value(const std::vector<std::int64_t>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}

/// An empty list stands for "equal to another axis".
std::string integers_or_equal(const std::vector<std::int64_t>& values) {
  return values.empty() ? "\"=\"" : integers_value(values);
}

/// Choices with a `path`, which is empty for none.
template <class Choice>
std::string files_value(const std::vector<Choice>& choices) {
  std::vector<std::string> files;
  for (const Choice& choice : choices) files.push_back(choice.path.empty() ? "none" : choice.path);
  return text_value(files);
}

/// TOML integers have 64 bits with a sign.
std::string seed_value(std::uint64_t seed) {
  const bool fits = seed <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return fits ? fmt::format("{}", seed) : fmt::format("\"{}\"", seed);
}

class TomlText {
 public:
  void add(std::string_view key, std::string_view value) {
    text_ += fmt::format("{} = {}\n", key, value);
  }
  void add_number(std::string_view key, double value) { add(key, fmt::format("{}", value)); }
  void add_table(std::string_view name) { text_ += fmt::format("\n[{}]\n", name); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

/// Left out where nothing is done to rows and logits.
void add_scores(const SweepConfig& config, TomlText& toml) {
  const SweepConfig plain;
  if (config.position != plain.position) {
    std::vector<std::string> positions;
    for (const Position position : config.position) positions.emplace_back(to_string(position));
    toml.add("position", text_value(positions));
  }
  if (config.rope.interleaved) toml.add("rope-pairs", text_value("interleaved"));
  if (config.rope.base != plain.rope.base) toml.add_number("rope-base", config.rope.base);
  if (config.softcap != plain.softcap) {
    std::vector<std::string> caps;
    for (const auto& cap : config.softcap) caps.push_back(cap ? fmt::format("{}", *cap) : "none");
    toml.add("softcap", text_value(caps));
  }
  if (config.sink != plain.sink) {
    toml.add("sink", fmt::format("[{}]", fmt::join(config.sink, ", ")));
  }
}

void add_problem_axes(const SweepConfig& config, TomlText& toml) {
  toml.add("mode", text_value(to_string(config.mode)));
  toml.add("seq", integers_value(config.seq));
  toml.add("seq-k", integers_or_equal(config.seq_k));
  if (config.mode == Mode::decode) toml.add("seq-q", fmt::format("{}", config.decode_seq_q));
  toml.add("threads", integers_value(config.threads));
  if (!config.recorded_only()) {
    toml.add("batch", integers_value(config.batch));
    toml.add("heads", integers_value(config.heads));
    toml.add("kv-heads", integers_or_equal(config.kv_heads));
    toml.add("dim", integers_value(config.dim));
    toml.add("dim-v", integers_or_equal(config.dim_v));
  }
  toml.add("causal", fmt::format("[{}]", fmt::join(config.causal, ", ")));
  if (config.key_lengths != SweepConfig{}.key_lengths) {
    toml.add("key-lengths", files_value(config.key_lengths));
  }
  if (config.mask != SweepConfig{}.mask) toml.add("mask", files_value(config.mask));
  add_scores(config, toml);
  std::vector<std::string> passes;
  for (const Pass pass : config.pass) passes.emplace_back(to_string(pass));
  toml.add("pass", text_value(passes));
  toml.add("input", text_value(config.input));
  toml.add("layout", text_value(to_string(config.layout)));
  std::vector<std::string> caches;
  for (const CacheState cache : config.cache) caches.emplace_back(to_string(cache));
  toml.add("cache", text_value(caches));
}

void add_measuring(const SweepConfig& config, TomlText& toml) {
  toml.add("isa", text_value(config.isa));
  if (config.scale) toml.add_number("scale", *config.scale);
  toml.add("seed", seed_value(config.seed));
  toml.add_number("target-ci", config.target_ci);
  toml.add_number("budget", config.budget_s);
  toml.add_number("timeout", config.case_timeout_s);
  toml.add("max-samples", fmt::format("{}", config.max_samples));
  if (config.memory_limit_bytes) toml.add_number("memory-limit", *config.memory_limit_bytes);
  toml.add("counters", text_value(to_string(config.counters)));
  toml.add("format", text_value(config.formats));
}

}  // namespace

std::string to_toml(const SweepConfig& config) {
  TomlText toml;
  if (!config.title.empty()) toml.add("title", text_value(config.title));
  toml.add("variants", text_value(config.variants));
  add_problem_axes(config, toml);
  add_measuring(config, toml);
  for (const auto& [variant, sweeps] : config.params) {
    toml.add_table("param." + variant);
    for (const auto& [name, values] : sweeps) toml.add(name, text_value(values));
  }
  return toml.take();
}

}  // namespace attnbench
