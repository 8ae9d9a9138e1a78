#include "config/keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "attention/inputs.h"
#include "config/grammar.h"
#include "config/key_values.h"
#include "config/mask_keys.h"
#include "config/score_keys.h"

namespace attnbench::config {
namespace {

using Kind = Element::Kind;

constexpr std::int64_t kMaxSeq = std::int64_t{1} << 24;
constexpr std::int64_t kMaxBatch = 65536;
constexpr std::int64_t kMaxHeads = 4096;
constexpr std::int64_t kMaxDim = 8192;
constexpr std::int64_t kMaxThreads = 4096;
constexpr std::int64_t kMaxSamples = 100000;

const std::vector<std::string> kModes{"self", "cross", "decode", "generate"};
const std::vector<std::string> kPasses{"fwd", "fwd+bwd"};
const std::vector<std::string> kLayouts{"bhnd", "bnhd"};
const std::vector<std::string> kCaches{"hot", "cold"};
const std::vector<std::string> kCounters{"auto", "on", "off"};
const std::vector<std::string> kIsas{"auto", "avx2", "avx512"};
const std::vector<std::string> kFormats{"csv", "json", "markdown"};

/// Lists of integers from 1; "=" (where accepted) leaves the list empty: equal to another axis.
template <std::vector<std::int64_t> SweepConfig::*Field, std::int64_t Maximum,
          bool AcceptsEqual = false>
Status apply_integers(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (AcceptsEqual && setting.elements.size() == 1 && setting.elements[0].text == "=") {
    (draft.config.*Field).clear();
    return ok_status();
  }
  const auto values = integers(rule, setting, {1, Maximum, {}});
  if (!values) return values.error();
  draft.config.*Field = *values;
  return ok_status();
}

Status apply_threads(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto values =
      integers(rule, setting, {1, kMaxThreads, {{"all", std::int64_t{draft.machine_threads}}}});
  if (!values) return values.error();
  draft.config.threads = *values;
  return ok_status();
}

template <std::int64_t SweepConfig::*Field, std::int64_t Maximum>
Status apply_integer(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer});
  if (!element) return element.error();
  const auto values = parse_integer_list(element->text, element->what, {1, Maximum, {}});
  if (!values || values->size() != 1) return not_accepted(rule, *element);
  draft.config.*Field = values->front();
  return ok_status();
}

/// A quantity with its own grammar: a text with a unit, or a bare number.
template <double SweepConfig::*Field, Result<double> (*Parse)(std::string_view, std::string_view)>
Status apply_quantity(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer, Kind::real});
  if (!element) return element.error();
  const auto value = Parse(element->text, element->what);
  if (!value) return not_accepted(rule, *element);
  draft.config.*Field = *value;
  return ok_status();
}

Status apply_memory_limit(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer, Kind::real});
  if (!element) return element.error();
  const auto value = parse_bytes(element->text, element->what);
  if (!value) return not_accepted(rule, *element);
  draft.config.memory_limit_bytes = *value;
  return ok_status();
}

Status apply_title(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text});
  if (!element) return element.error();
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(element->text, control)) return not_accepted(rule, *element);
  draft.config.title = element->text;
  return ok_status();
}

/// A shape has become other keys' settings by now (shape_settings.h).
Status apply_shape(const KeyRule&, const Setting&, Draft&) { return ok_status(); }

Status apply_variants(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (Status status = check_kinds(rule, setting, {Kind::text}); !status) return status.error();
  std::vector<std::string> names;
  for (const Element& element : setting.elements) {
    std::string text = element.text;
    std::erase_if(text, [](char c) { return c == ' ' || c == '\t'; });
    const auto selected = draft.registry.select(text);
    if (!selected) return usage_error(element.what + ": " + selected.error().message);
    for (const Variant* variant : *selected) {
      const std::string& name = variant->info().name;
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  draft.config.variants = names;
  return ok_status();
}

Status apply_causal(const KeyRule& rule, const Setting& setting, Draft& draft) {
  auto values = switches(rule, setting);
  if (!values) return values.error();
  draft.config.causal = std::move(*values);
  return ok_status();
}

Status apply_mode(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto word = one_word(rule, setting, kModes);
  if (!word) return word.error();
  const auto mode = parse_mode(*word);
  if (!mode) return mode.error();
  draft.config.mode = *mode;
  return ok_status();
}

Status apply_pass(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto chosen = words(rule, setting, kPasses);
  if (!chosen) return chosen.error();
  draft.config.pass.clear();
  for (const std::string& word : *chosen) {
    const auto pass = parse_pass(word);
    if (!pass) return pass.error();
    draft.config.pass.push_back(*pass);
  }
  return ok_status();
}

Status apply_layout(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto word = one_word(rule, setting, kLayouts);
  if (!word) return word.error();
  const auto layout = parse_layout(*word);
  if (!layout) return layout.error();
  draft.config.layout = *layout;
  return ok_status();
}

Status apply_cache(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto chosen = words(rule, setting, kCaches);
  if (!chosen) return chosen.error();
  draft.config.cache.clear();
  for (const std::string& word : *chosen) {
    draft.config.cache.push_back(word == "cold" ? CacheState::cold : CacheState::hot);
  }
  return ok_status();
}

Status apply_counters(const KeyRule& rule, const Setting& setting, Draft& draft) {
  // A bare flag means on.
  if (setting.from_flag && setting.elements.size() == 1 && setting.elements[0].text.empty()) {
    draft.config.counters = CounterUse::on;
    return ok_status();
  }
  const auto word = one_word(rule, setting, kCounters);
  if (!word) return word.error();
  draft.config.counters = *word == "on"    ? CounterUse::on
                          : *word == "off" ? CounterUse::off
                                           : CounterUse::automatic;
  return ok_status();
}

Status apply_isa(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto word = one_word(rule, setting, kIsas);
  if (!word) return word.error();
  draft.config.isa = *word;
  return ok_status();
}

Status apply_format(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto chosen = words(rule, setting, kFormats);
  if (!chosen) return chosen.error();
  draft.config.formats = *chosen;
  std::erase(draft.config.formats, "csv");
  draft.config.formats.insert(draft.config.formats.begin(), "csv");
  return ok_status();
}

Status apply_input(const KeyRule& rule, const Setting& setting, Draft& draft) {
  if (Status status = check_kinds(rule, setting, {Kind::text}); !status) return status.error();
  std::vector<std::string> inputs;
  for (const Element& element : setting.elements) {
    for (const TextPart& part : comma_parts(element.text)) {
      const auto name = check_input_distribution(part.text);
      if (!name) return usage_error(element.what + ": " + name.error().message);
      if (std::ranges::find(inputs, *name) == inputs.end()) inputs.push_back(*name);
    }
  }
  draft.config.input = inputs;
  return ok_status();
}

Status apply_scale(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer, Kind::real});
  if (!element) return element.error();
  const auto value = parse_real(trimmed(element->text));
  if (!value) return not_accepted(rule, *element);
  draft.config.scale = *value;
  return ok_status();
}

Status apply_seed(const KeyRule& rule, const Setting& setting, Draft& draft) {
  const auto element = single(rule, setting, {Kind::text, Kind::integer});
  if (!element) return element.error();
  const std::string_view text = trimmed(element->text);
  std::uint64_t seed = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (code != std::errc{} || end != text.data() + text.size()) return not_accepted(rule, *element);
  draft.config.seed = seed;
  return ok_status();
}

std::string one_of(const std::vector<std::string>& known) {
  return fmt::format("{}", fmt::join(known, ", "));
}
std::string list_of(const std::vector<std::string>& known) {
  return fmt::format("{} (comma separated)", fmt::join(known, ", "));
}
std::string integers_up_to(std::int64_t maximum) { return integer_list_grammar({1, maximum, {}}); }

std::vector<KeyRule> make_rules() {
  using C = SweepConfig;
  const std::string names = "names, all, family:NAME (comma separated; attnbench list shows them)";
  const std::string threads = fmt::format(
      "integers from 1 to {} or all (the machine's), comma separated, and ranges "
      "FIRST:LAST:xFACTOR or FIRST:LAST:+STEP",
      kMaxThreads);
  const std::string equal = ", or = ";
  return {
      {"title", "a text of one line", "", "Names the run in reports and plots.", apply_title},
      {"variants", names, "all", "Attention variants to compare.", apply_variants},
      {"shape", "the name of one shape, or none ('attnbench list --shapes')", "none",
       "Attention shape of a published model: sets title, mode, seq, seq-k, heads, kv-heads, dim, "
       "dim-v, causal, and local's window.",
       apply_shape},
      {"mode", one_of(kModes), "self", "How queries and keys relate.", apply_mode},
      {"seq", integers_up_to(kMaxSeq), "256:4096:x2",
       "Sequence length N: of queries and keys; in decode mode of keys.",
       apply_integers<&C::seq, kMaxSeq>},
      {"seq-k", integers_up_to(kMaxSeq) + equal + "(equal to seq)", "=",
       "Key length of cross attention, crossed with seq.",
       apply_integers<&C::seq_k, kMaxSeq, true>},
      {"seq-q", fmt::format("one integer from 1 to {}", kMaxSeq), "1",
       "Query length in decode mode.", apply_integer<&C::decode_seq_q, kMaxSeq>},
      {"threads", threads, "1,all", "Thread counts.", apply_threads},
      {"batch", integers_up_to(kMaxBatch), "1", "Batch size.",
       apply_integers<&C::batch, kMaxBatch>},
      {"heads", integers_up_to(kMaxHeads), "8", "Query heads.",
       apply_integers<&C::heads, kMaxHeads>},
      {"kv-heads", integers_up_to(kMaxHeads) + equal + "(as many as heads)", "=",
       "Key-value heads; heads must be a multiple.", apply_integers<&C::kv_heads, kMaxHeads, true>},
      {"dim", integers_up_to(kMaxDim), "64", "Head dimension of queries and keys.",
       apply_integers<&C::dim, kMaxDim>},
      {"dim-v", integers_up_to(kMaxDim) + equal + "(equal to dim)", "=",
       "Head dimension of values.", apply_integers<&C::dim_v, kMaxDim, true>},
      {"causal", kSwitchGrammar, "off", "Whether a query sees only keys up to its own position.",
       apply_causal},
      {"key-lengths", kLengthFiles, "none",
       "Keys that count in each batch row, integers [B]; the others are not read.",
       apply_key_lengths},
      {"mask", kMaskFiles, "none",
       "Which pairs take part, bool [Nq, Nk], [H, Nq, Nk] or [B, H, Nq, Nk], or what is added to "
       "their logits, floats.",
       apply_mask},
      {"position", kPositionGrammar, "none",
       "How rows or logits carry positions, inside the timed call.", apply_position},
      {"rope-pairs", kRopePairsGrammar, "half",
       "Pairs that rope turns: (m, m + D/2), or the neighbours (2m, 2m + 1).", apply_rope_pairs},
      {"rope-base", kRopeBaseGrammar, "10000", "Base of rope's angles p / base^(2m/D).",
       apply_rope_base},
      {"softcap", kSoftcapGrammar, "none", "Cap c of the logits: s becomes c tanh(s / c).",
       apply_softcap},
      {"sink", kSwitchGrammar, "off",
       "A further logit per query head in the softmax's sum, drawn from the seed.", apply_sink},
      {"pass", list_of(kPasses), "fwd", "Forward, or forward and backward.", apply_pass},
      {"input", list_of(input_distributions()) + ", peaked=STD, or file:PATH", "gaussian",
       "Distribution that Q, K and V are drawn from, or a file of recorded ones.", apply_input},
      {"layout", one_of(kLayouts), "bhnd", "Order of the input tensors in memory.", apply_layout},
      {"cache", list_of(kCaches), "hot", "State of the caches before each sample.", apply_cache},
      {"isa", one_of(kIsas), "auto", "Restricts the kernels' instruction set.", apply_isa},
      {"scale", "a number", "each variant's own",
       "Factor on the logits, for variants that have one.", apply_scale},
      {"seed", "an integer from 0 to 18446744073709551615", "1",
       "Seed of inputs and auxiliary tensors.", apply_seed},
      {"target-ci", kFractionGrammar, "2%",
       "Half the 95% interval of the median, relative, at which sampling stops.",
       apply_quantity<&C::target_ci, parse_fraction>},
      {"budget", kDurationGrammar, "120s", "Time for the whole sweep.",
       apply_quantity<&C::budget_s, parse_duration>},
      {"timeout", kDurationGrammar, "60s", "A single call that takes longer is a timeout row.",
       apply_quantity<&C::case_timeout_s, parse_duration>},
      {"max-samples", fmt::format("one integer from 1 to {}", kMaxSamples), "200",
       "Most samples of one case.", apply_integer<&C::max_samples, kMaxSamples>},
      {"memory-limit", kBytesGrammar, "the free memory",
       "Cells that need more than this are skipped.", apply_memory_limit},
      {"counters", one_of(kCounters), "auto",
       "Hardware event counters: where the system allows them, with a warning where not, or never.",
       apply_counters},
      {"format", list_of(kFormats), "csv", "Output formats; csv is always written.", apply_format},
  };
}

}  // namespace

std::span<const KeyRule> key_rules() {
  static const std::vector<KeyRule> rules = make_rules();
  return rules;
}

std::string canonical_key(std::string_view key) {
  std::string result(key);
  std::ranges::replace(result, '_', '-');
  return result;
}

Error unknown_key(std::string_view what, std::string_view key,
                  const std::vector<std::string>& extra) {
  std::vector<std::string> known;
  for (const KeyRule& rule : key_rules()) known.emplace_back(rule.name);
  known.insert(known.end(), extra.begin(), extra.end());
  std::string message = fmt::format("{}: unknown key; accepted: {}", what, fmt::join(known, ", "));
  if (const auto nearest = nearest_word(key, known)) {
    message += fmt::format("; did you mean \"{}\"?", *nearest);
  }
  return usage_error(std::move(message));
}

}  // namespace attnbench::config

namespace attnbench {

std::vector<ConfigKey> config_keys() {
  std::vector<ConfigKey> keys;
  for (const config::KeyRule& rule : config::key_rules()) {
    keys.push_back({std::string(rule.name), rule.accepted, std::string(rule.default_text),
                    std::string(rule.meaning)});
  }
  return keys;
}

}  // namespace attnbench
