#include "run/repro.h"

#include <fmt/format.h>

#include <algorithm>

namespace attnbench::run {
namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-_=.,:/+@%").find(c) != std::string_view::npos;
}

class FlagList {
 public:
  void flag(std::string_view name, std::string_view value) {
    flags_.emplace_back(std::string(name), std::string(value));
  }
  void flag(std::string_view name, std::int64_t value) { flag(name, fmt::format("{}", value)); }
  CaseFlags take() { return std::move(flags_); }

 private:
  CaseFlags flags_;
};

void add_lengths(FlagList& line, const Problem& p) {
  if (p.mode != Mode::self) line.flag("mode", to_string(p.mode));
  if (p.mode == Mode::decode) {
    line.flag("seq", p.seq_k);
    if (p.seq_q != 1) line.flag("seq-q", p.seq_q);
    return;
  }
  line.flag("seq", p.seq_q);
  if (p.seq_k != p.seq_q) line.flag("seq-k", p.seq_k);
}

/// What a recording decides itself.
void add_shape(FlagList& line, const Problem& p) {
  if (p.batch != 1) line.flag("batch", p.batch);
  line.flag("heads", p.heads_q);
  if (p.heads_kv != p.heads_q) line.flag("kv-heads", p.heads_kv);
  line.flag("dim", p.dim_qk);
  if (p.dim_v != p.dim_qk) line.flag("dim-v", p.dim_v);
}

/// What is done to rows and logits beside their product.
void add_scores(FlagList& line, const Problem& p) {
  if (p.position != Position::none) line.flag("position", to_string(p.position));
  if (p.rope.interleaved) line.flag("rope-pairs", "interleaved");
  if (p.rope.base != Rope().base) line.flag("rope-base", fmt::format("{}", p.rope.base));
  if (p.softcap) line.flag("softcap", fmt::format("{}", *p.softcap));
  if (!p.sink.empty()) line.flag("sink", "on");
}

void add_params(FlagList& line, const Case& spec) {
  const VariantInfo& info = spec.variant->info();
  for (const auto& [name, value] : spec.params.all()) {
    const auto declared = std::ranges::find(info.params, name, &ParamSpec::name);
    if (declared != info.params.end() && declared->default_text == value) continue;
    line.flag("param", fmt::format("{}.{}={}", info.name, name, value));
  }
}

}  // namespace

std::string shell_word(std::string_view text) {
  if (!text.empty() && std::ranges::all_of(text, is_plain)) return std::string(text);
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  quoted += '\'';
  return quoted;
}

CaseFlags case_flags(const Case& spec, const SweepConfig& config) {
  const Problem& p = spec.problem;
  FlagList line;
  line.flag("variants", spec.variant->info().name);
  add_lengths(line, p);
  line.flag("threads", spec.threads);
  if (!spec.capture) add_shape(line, p);
  if (p.causal) line.flag("causal", "on");
  for (const KeyLengthsChoice& choice : config.key_lengths) {
    if (choice.path.empty() || choice.lengths.name != p.key_lengths_name) continue;
    line.flag("key-lengths", choice.path);
    break;
  }
  for (const MaskChoice& choice : config.mask) {
    if (p.mask == nullptr || choice.mask != p.mask) continue;
    line.flag("mask", choice.path);
    break;
  }
  add_scores(line, p);
  if (p.pass != Pass::fwd) line.flag("pass", to_string(p.pass));
  if (p.layout != Layout::bhnd) line.flag("layout", to_string(p.layout));
  if (spec.capture) {
    line.flag("input", spec.capture->text);
  } else if (spec.input != "gaussian") {
    line.flag("input", spec.input);
  }
  if (spec.cache != CacheState::hot) line.flag("cache", to_string(spec.cache));
  if (p.scale) line.flag("scale", fmt::format("{}", *p.scale));
  if (config.isa != "auto") line.flag("isa", config.isa);
  add_params(line, spec);
  line.flag("seed", fmt::format("{}", config.seed));
  return line.take();
}

std::string repro_command(const Case& spec, const SweepConfig& config) {
  std::string text = "attnbench run";
  for (const auto& [name, value] : case_flags(spec, config)) {
    text += fmt::format(" --{} {}", name, shell_word(value));
  }
  return text;
}

}  // namespace attnbench::run
