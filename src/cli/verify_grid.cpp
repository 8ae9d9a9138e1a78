#include "cli/verify_grid.h"

#include "cli/data_files.h"
#include "cli/scalar_flags.h"
#include "kernels/arena.h"
#include "measure/environment.h"

namespace attnbench::cli {
namespace {

struct GridEntry {
  FlagTexts shape;
  std::vector<std::int64_t> key_lengths;  ///< One per batch row; empty: every key counts.
};

const std::vector<GridEntry>& grid() {
  static const std::vector<GridEntry> entries{
      // Odd sizes, none a multiple of a tile, and a single token.
      {{{"seq", "1,2,3,17,100,129"}, {"heads", "2"}, {"dim", "24"}, {"causal", "off,on"}}, {}},
      {{{"seq", "257"}, {"heads", "3"}, {"dim", "5"}, {"dim-v", "3"}, {"causal", "off,on"}}, {}},
      // Several batch rows, grouped queries, unequal head dimensions.
      {{{"seq", "65"},
        {"batch", "2"},
        {"heads", "6"},
        {"kv-heads", "1,2"},
        {"dim", "33"},
        {"dim-v", "70"},
        {"causal", "off,on"}},
       {}},
      {{{"seq", "300"}, {"heads", "2"}, {"dim", "128"}, {"causal", "off,on"}}, {}},
      // Cross attention; with more queries than keys a causal mask hides every key from the first.
      {{{"seq", "1,33"}, {"seq-k", "130"}, {"heads", "2"}, {"dim", "16"}, {"causal", "off,on"}},
       {}},
      {{{"seq", "130"}, {"seq-k", "33"}, {"heads", "2"}, {"dim", "16"}, {"causal", "off,on"}}, {}},
      // Logits with a standard deviation of 30, and other distributions.
      {{{"seq", "96"}, {"heads", "2"}, {"input", "peaked=30,heavy-tailed,local,sink"}}, {}},
      {{{"seq", "90"},
        {"heads", "4"},
        {"kv-heads", "2"},
        {"batch", "2"},
        {"layout", "bnhd"},
        {"causal", "off,on"}},
       {}},
      // Rows and logits that change beside the product.
      {{{"seq", "70"},
        {"heads", "6"},
        {"kv-heads", "2"},
        {"dim", "24"},
        {"causal", "off,on"},
        {"position", "sinusoidal,rope,alibi"},
        {"softcap", "5"},
        {"sink", "on"}},
       {}},
      // Keys that must not be read; the last batch row has none at all.
      {{{"seq", "48"}, {"heads", "2"}, {"batch", "3"}, {"causal", "off,on"}}, {48, 17, 0}},
  };
  return entries;
}

/// Key lengths are no axis of a sweep: they are laid over the planned cells.
void set_key_lengths(const std::vector<std::int64_t>& lengths, std::vector<Case>& cells) {
  for (Case& cell : cells) {
    if (cell.skip) continue;
    cell.problem.key_lengths = lengths;
    cell.skip = cell.variant->refusal(cell.problem, cell.params);
    if (!cell.skip) cell.cost = cell.variant->cost(cell.problem, cell.params, cell.threads);
  }
}

}  // namespace

Result<std::vector<Case>> planned_cells(const FlagTexts& texts,
                                        const std::vector<std::string>& params,
                                        const Registry& registry) {
  const auto config = load_sweep_config(std::nullopt, texts, params, registry,
                                        kernels::available_cpus(), shapes_file());
  if (!config) return config.error();
  const double limit = config->memory_limit_bytes.value_or(
      0.9 * static_cast<double>(measure::available_memory_bytes()));
  const auto captures = load_captures(config->input);
  if (!captures) return captures.error();
  return make_plan(*config, registry, PlanRates{}, limit, *captures).cases;
}

Result<std::vector<Case>> grid_cells(const FlagTexts& selection,
                                     const std::vector<std::string>& params,
                                     const Registry& registry) {
  std::vector<Case> all;
  for (const GridEntry& entry : grid()) {
    FlagTexts texts = selection;
    for (const auto& [key, text] : entry.shape) texts[key] = text;
    auto cells = planned_cells(texts, params, registry);
    if (!cells) return cells.error();
    if (!entry.key_lengths.empty()) set_key_lengths(entry.key_lengths, *cells);
    all.insert(all.end(), cells->begin(), cells->end());
  }
  return all;
}

std::uint64_t grid_seed(const FlagTexts& texts) {
  const auto text = texts.find("seed");
  if (text == texts.end()) return SweepConfig{}.seed;
  const auto seed = parse_seed(text->second);
  return seed ? *seed : SweepConfig{}.seed;
}

}  // namespace attnbench::cli
