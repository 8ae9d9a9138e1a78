// What a sweep is to measure, validated: the one form that TOML files and flags are turned into.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/key_lengths.h"
#include "attention/mask.h"
#include "attention/problem.h"
#include "attention/registry.h"

namespace attnbench {

enum class CacheState { hot, cold };
std::string_view to_string(CacheState state);

/// Hardware event counters: where the system allows them; not at all; or with a warning where it
/// does not allow them.
enum class CounterUse { automatic, off, on };
std::string_view to_string(CounterUse use);

/// variant -> parameter -> values to sweep, in canonical text form.
using ParamSweeps = std::map<std::string, std::map<std::string, std::vector<std::string>>>;

/// A value of the axis `key-lengths`: a file as it was given, and what it holds. No path: every key
/// counts.
struct KeyLengthsChoice {
  std::string path;
  KeyLengths lengths;
  bool operator==(const KeyLengthsChoice&) const = default;
};

/// A value of the axis `mask`, likewise. Equal when the files and their content are.
struct MaskChoice {
  std::string path;
  std::shared_ptr<const AttentionMask> mask;
  bool operator==(const MaskChoice& other) const {
    return path == other.path &&
           (mask == nullptr ? other.mask == nullptr
                            : other.mask != nullptr && mask->name() == other.mask->name());
  }
};

/// Lists of values for each axis; the planner crosses them. docs/configuration.md explains every
/// field under the key of the same name.
struct SweepConfig {
  std::string title;
  std::vector<std::string> variants;  ///< Names, expanded and checked against the registry.
  ParamSweeps params;                 ///< Only of selected variants; others keep their defaults.
  Mode mode = Mode::self;
  std::vector<std::int64_t> seq;    ///< Nq in self and cross mode; Nk in decode mode.
  std::vector<std::int64_t> seq_k;  ///< Crossed with seq; empty: equal to it.
  std::int64_t decode_seq_q = 1;    ///< Nq in decode mode (--seq-q).
  std::vector<std::int64_t> threads;
  std::vector<std::int64_t> batch{1};
  std::vector<std::int64_t> heads{8};
  std::vector<std::int64_t> kv_heads;  ///< Empty: as many as heads.
  std::vector<std::int64_t> dim{64};
  std::vector<std::int64_t> dim_v;  ///< Empty: equal to dim.
  std::vector<bool> causal{false};
  std::vector<KeyLengthsChoice> key_lengths{{}};
  std::vector<MaskChoice> mask{{}};
  std::vector<Position> position{Position::none};
  Rope rope;  ///< Of the cells with position rope.
  std::vector<std::optional<double>> softcap{std::nullopt};
  std::vector<bool> sink{false};  ///< Drawn from the seed, one logit per query head.
  std::vector<Pass> pass{Pass::fwd};
  std::vector<std::string> input{"gaussian"};
  Layout layout = Layout::bhnd;
  std::vector<CacheState> cache{CacheState::hot};
  CounterUse counters = CounterUse::automatic;
  std::string isa = "auto";  ///< auto, avx2, avx512.
  std::optional<double> scale;
  std::uint64_t seed = 1;
  double target_ci = 0.02;         ///< Half the interval of the median, relative to the median.
  double budget_s = 120;           ///< Of the whole sweep.
  double case_timeout_s = 60;      ///< One call that takes longer makes its row `timeout`.
  std::int64_t max_samples = 200;  ///< Per case.
  std::optional<double> memory_limit_bytes;  ///< Absent: what the machine has free at start.
  std::vector<std::string> formats{"csv"};   ///< csv (always written), json, markdown.

  /// Whether all inputs are recorded ones ("file:PATH"): batch, heads and dimensions are theirs.
  bool recorded_only() const;
  bool operator==(const SweepConfig&) const = default;
};

/// What the command line said, unparsed: flag name without dashes -> text ("seq" -> "256:4096:x2").
/// Overrides the file key by key. A flag that may stand bare ("--causal") comes with empty text.
using FlagTexts = std::map<std::string, std::string>;

/// "256:4096:x2", "1024:8192:+1024", "1k,2k,4096": in the order given, without repeats. Both ends
/// of a range are included where hit. `what` names the flag or key in error messages.
Result<std::vector<std::int64_t>> parse_integer_list(std::string_view text, std::string_view what,
                                                     std::int64_t minimum, std::int64_t maximum);
/// "2%" or "0.02": above 0 and below 1.
Result<double> parse_fraction(std::string_view text, std::string_view what);
/// "120s", "2m", "500ms", "1h", "120": seconds, above 0.
Result<double> parse_duration(std::string_view text, std::string_view what);
/// "4GiB", "512MiB", "1e9": bytes, above 0.
Result<double> parse_bytes(std::string_view text, std::string_view what);
/// "off,on": in the order given, without repeats. Empty text is on (a bare --causal).
Result<std::vector<bool>> parse_switch_list(std::string_view text, std::string_view what);

/// One key of a configuration file, which is also the flag --name.
struct ConfigKey {
  std::string name;          ///< With dashes, as in the flag.
  std::string accepted;      ///< Grammar or words, for help and error messages.
  std::string default_text;  ///< As the user would write it; words where it is derived.
  std::string meaning;
};
/// Every key and its flag, in the order of docs/configuration.md; `param` is apart (tables in the
/// file, --param on the command line).
std::vector<ConfigKey> config_keys();

/// Reads a TOML file (when given), lays the flags over it, fills in defaults (threads: 1 and all
/// `machine_threads`), expands and validates. `param_flags` are texts "variant.name=list" (or
/// "name=list" when one variant is selected). Errors name file:line:column (or the flag), the key,
/// what was given and what is accepted, with the nearest known key: usage errors, or an io error
/// when the file cannot be read. `shapes_path` is the table that the key `shape` names an entry of
/// (config/shapes.h); it is read only when a shape is named.
Result<SweepConfig> load_sweep_config(const std::optional<std::string>& toml_path,
                                      const FlagTexts& flags,
                                      const std::vector<std::string>& param_flags,
                                      const Registry& registry, int machine_threads,
                                      const std::string& shapes_path = {});

/// The same for TOML text in memory; `name` stands for the file in messages.
Result<SweepConfig> parse_sweep_config(std::string_view toml_text, std::string_view name,
                                       const FlagTexts& flags,
                                       const std::vector<std::string>& param_flags,
                                       const Registry& registry, int machine_threads,
                                       const std::string& shapes_path = {});

/// The configuration as TOML text that load_sweep_config reads back to the same value.
std::string to_toml(const SweepConfig& config);

}  // namespace attnbench
