// bigbird: block-sparse attention with a window, global and random blocks.
//
//   O_i = sum over j of softmax(scale q_i . k_j) v_j over the key blocks that the block of
//   p = i + Nk - Nq reads: its window, the global blocks at both ends, and r random ones; the
//   global blocks read everything; and j <= p when causal
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv],
// random_blocks [nb - 2 globals, r] (shared by all heads), nb = ceil(Nk / block).
// Exact under its mask; a block that is chosen twice counts once. Time grows as N, workspace not at
// all.
// Source: Zaheer et al. 2020, "Big Bird: Transformers for Longer Sequences", arXiv 2007.14062,
// section 2 and appendix D (block sizes). The paper has no causal form: this is the intersection.
//
// The random blocks decide the cost and the mask, which see parameters only: complete_aux() writes
// them back, as the seed that draws them, or as the numbers that were given.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "attention/sampling.h"
#include "kernels/block_pattern.h"

namespace attnbench {
namespace {

constexpr std::string_view kGiven = "given:";

/// The layout that the parameters ask for on a problem.
struct Blocks {
  std::int64_t block = 1;
  std::int64_t side = 0;  ///< Blocks of the window on each side of the own one.
  std::int64_t globals = 0;
  std::int64_t random = 0;
  std::int64_t count = 0;         ///< nb.
  std::int64_t whole = 0;         ///< Blocks that are not cut short by the end of the keys,
  std::int64_t whole_in_all = 0;  ///< nor by the length of any batch row.
  bool causal = false;
  bool operator==(const Blocks&) const = default;

  std::int64_t random_rows() const { return std::max<std::int64_t>(count - 2 * globals, 0); }
  bool is_global(std::int64_t block_index) const {
    return block_index >= 0 && (block_index < globals || block_index >= count - globals);
  }
  /// The row of random_blocks that belongs to a block row, or -1.
  std::int64_t random_row(std::int64_t row) const {
    return row >= globals && row < count - globals ? row - globals : -1;
  }
};

Blocks blocks_of(const Problem& p, const ParamValues& params) {
  Blocks blocks;
  blocks.block = params.integer("block");
  blocks.side = (params.integer("window") - 1) / 2;
  blocks.globals = params.integer("globals");
  blocks.random = params.integer("random");
  blocks.count = kernels::block_count(p, blocks.block);
  blocks.whole = p.seq_k / blocks.block;
  blocks.whole_in_all = blocks.whole;
  for (const std::int64_t length : p.key_lengths) {
    blocks.whole_in_all = std::min(blocks.whole_in_all, length / blocks.block);
  }
  blocks.causal = p.causal;
  return blocks;
}

/// Distinct whole blocks that the row would not read otherwise (before the window when causal), and
/// its own block where there are fewer than r. Of blocks that a key length cuts short there are as
/// many as of the others, whatever the seed: so the number of pairs does not depend on the draw.
void draw_row(const Blocks& blocks, std::uint64_t seed, std::int64_t row,
              std::vector<std::int64_t>& chosen) {
  std::vector<std::int64_t> whole, cut;
  const std::int64_t end =
      std::min({blocks.count - blocks.globals, blocks.whole, blocks.causal ? row : blocks.count});
  for (std::int64_t column = blocks.globals; column < end; ++column) {
    if (std::abs(column - row) <= blocks.side) continue;
    (column < blocks.whole_in_all ? whole : cut).push_back(column);
  }
  const auto wholes = static_cast<std::int64_t>(whole.size());
  const auto cuts = static_cast<std::int64_t>(cut.size());
  const std::int64_t wanted = std::min(blocks.random, wholes + cuts);
  const std::int64_t wanted_cut =
      cuts == 0 ? 0
                : std::clamp(wanted * cuts / (wholes + cuts),
                             std::max<std::int64_t>(wanted - wholes, 0), cuts);
  const auto first = static_cast<std::uint64_t>(row * blocks.random);
  chosen.clear();
  std::vector<std::int64_t> picks;
  draw_distinct(CounterRng(seed, "random_blocks"), first, wanted - wanted_cut, wholes, picks);
  for (const std::int64_t pick : picks) chosen.push_back(whole[static_cast<std::size_t>(pick)]);
  picks.clear();
  draw_distinct(CounterRng(0, "random_blocks"), first, wanted_cut, cuts, picks);
  for (const std::int64_t pick : picks) chosen.push_back(cut[static_cast<std::size_t>(pick)]);
  std::ranges::sort(chosen);
  chosen.resize(static_cast<std::size_t>(blocks.random), row);
}

/// Random blocks as the parameter `draw` has them.
class RandomBlocks {
 public:
  RandomBlocks(const Blocks& blocks, const ParamValues& params) : blocks_(blocks) {
    const std::string_view text = params.text("draw");
    if (text.starts_with(kGiven)) {
      given_ = text.substr(kGiven.size());
    } else if (text != "auto") {
      std::from_chars(text.data(), text.data() + text.size(), seed_);
    }
  }

  /// Whether row() gives the same; those that were given are not told apart.
  bool is_drawn_as(const RandomBlocks& other) const {
    return given_.empty() && other.given_.empty() && seed_ == other.seed_ &&
           blocks_ == other.blocks_;
  }

  /// Of one row of random_blocks.
  const std::vector<std::int64_t>& row(std::int64_t random_row) {
    if (given_.empty()) {
      if (drawn_row_ != random_row) draw_row(blocks_, seed_, random_row + blocks_.globals, chosen_);
      drawn_row_ = random_row;
      return chosen_;
    }
    // Numbers of one width, each with a separator after it.
    const auto cells = static_cast<std::size_t>(blocks_.random_rows() * blocks_.random);
    const std::size_t width = given_.size() / cells;
    chosen_.resize(static_cast<std::size_t>(blocks_.random));
    for (std::size_t t = 0; t < chosen_.size(); ++t) {
      const std::size_t cell = static_cast<std::size_t>(random_row) * chosen_.size() + t;
      const char* at = given_.data() + cell * width;
      std::from_chars(at, at + width - 1, chosen_[t]);
    }
    return chosen_;
  }

  /// What row() reads back.
  static std::string encode(const AuxTensor& tensor, std::int64_t count) {
    const std::size_t width = std::to_string(count).size();
    std::string text(kGiven);
    for (std::int64_t block : tensor.ints) text += fmt::format("{:0{}}+", block, width);
    return text;
  }

 private:
  Blocks blocks_;
  std::uint64_t seed_ = 1;
  std::int64_t drawn_row_ = -1;  ///< That chosen_ holds, where rows are drawn.
  std::string_view given_;
  std::vector<std::int64_t> chosen_;
};

/// `random_of(random_row)` gives the random blocks of a row.
template <class RandomOf>
kernels::BlockRows rows_of(const Problem& p, const Blocks& blocks, RandomOf random_of) {
  return kernels::make_block_rows(p, blocks.block,
                                  [&](std::int64_t row, std::vector<std::int64_t>& columns) {
                                    const bool all = blocks.is_global(row);
                                    const std::int64_t end = blocks.count;
                                    const auto add = [&](std::int64_t from, std::int64_t to) {
                                      from = std::max<std::int64_t>(from, 0);
                                      for (std::int64_t c = from; c < std::min(to, end); ++c)
                                        columns.push_back(c);
                                    };
                                    if (all) return add(0, end);
                                    add(0, blocks.globals);
                                    add(end - blocks.globals, end);
                                    add(row - blocks.side, row + blocks.side + 1);
                                    if (const std::int64_t r = blocks.random_row(row); r >= 0) {
                                      const auto& random = random_of(r);
                                      columns.insert(columns.end(), random.begin(), random.end());
                                    }
                                  });
}

Status check_random_blocks(const AuxTensor& tensor, const Blocks& blocks) {
  if (!tensor.is_integer || tensor.shape.size() != 2 || tensor.shape[0] != blocks.random_rows()) {
    return usage_error(
        fmt::format("bigbird: random_blocks has shape {}, accepted are integers "
                    "[nb - 2 globals, r] = [{}, r]",
                    shape_text(tensor.shape), blocks.random_rows()));
  }
  for (std::int64_t block : tensor.ints) {
    if (block < 0 || block >= blocks.count) {
      return usage_error(
          fmt::format("bigbird: random_blocks has the block {}, accepted are 0 to {}", block,
                      blocks.count - 1));
    }
  }
  return ok_status();
}

class BigBird final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override;

  std::optional<std::string> unsupported_reason(const Problem&,
                                                const ParamValues& params) const override {
    const std::int64_t window = params.integer("window");
    if (window % 2 == 0) {
      return fmt::format("window {} is even: it is centred on the query's own block", window);
    }
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    if (!base_mask_allows(p, b, i, j)) return false;
    const Blocks blocks = blocks_of(p, params);
    const std::int64_t position = i + p.seq_k - p.seq_q;
    const std::int64_t column = j / blocks.block;
    // A position before the first key is in a block of its own kind: rounded down, not to zero.
    const std::int64_t row =
        position >= 0 ? position / blocks.block : -((blocks.block - 1 - position) / blocks.block);
    if (blocks.is_global(row) || blocks.is_global(column)) return true;
    if (std::abs(row - column) <= blocks.side) return true;
    const std::int64_t r = blocks.random_row(row);
    if (r < 0) return false;
    RandomBlocks asked(blocks, params);
    if (params.text("draw").starts_with(kGiven)) {
      return std::ranges::find(asked.row(r), column) != asked.row(r).end();
    }
    // Kept for each thread: callers ask for one key of a row after the other.
    thread_local std::optional<RandomBlocks> last;
    if (!last || !last->is_drawn_as(asked)) last.emplace(std::move(asked));
    const auto& row_blocks = last->row(r);
    return std::ranges::find(row_blocks, column) != row_blocks.end();
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const Blocks blocks = blocks_of(p, params);
    RandomBlocks random(blocks, params);
    const auto rows = rows_of(p, blocks, [&](std::int64_t r) { return random.row(r); });
    return kernels::block_plan_cost(p, rows, threads);
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    const Blocks blocks = blocks_of(p, params);
    for (const auto& [name, tensor] : given) {
      if (name != "random_blocks") {
        return usage_error("bigbird has the auxiliary tensor random_blocks, '" + name +
                           "' was given");
      }
      if (auto status = check_random_blocks(tensor, blocks); !status) return status.error();
      params.set("random", std::to_string(tensor.shape[1]));
      params.set("draw", RandomBlocks::encode(tensor, blocks.count));
      return given;
    }
    if (params.is_auto("draw")) params.set("draw", std::to_string(seed));
    RandomBlocks random(blocks, params);
    AuxTensor drawn{{blocks.random_rows(), blocks.random}, {}, {}, true};
    for (std::int64_t r = 0; r < blocks.random_rows(); ++r) {
      const auto& row = random.row(r);
      drawn.ints.insert(drawn.ints.end(), row.begin(), row.end());
    }
    given["random_blocks"] = std::move(drawn);
    return given;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& p, const ParamValues& params,
                                        const AuxSet& aux) const override {
    const AuxTensor& tensor = aux.at("random_blocks");
    const Blocks blocks = blocks_of(p, params);
    const auto row = [&](std::int64_t r) {
      return std::span<const std::int64_t>(tensor.ints)
          .subspan(static_cast<std::size_t>(r * tensor.shape[1]),
                   static_cast<std::size_t>(tensor.shape[1]));
    };
    return kernels::make_block_plan(p, rows_of(p, blocks, row));
  }
};

const VariantInfo& BigBird::info() const {
  const auto integer = [](const char* name, const char* value, double minimum, double maximum,
                          const char* meaning) {
    return ParamSpec{.name = name,
                     .type = ParamSpec::Type::integer,
                     .default_text = value,
                     .minimum = minimum,
                     .maximum = maximum,
                     .choices = {},
                     .meaning = meaning};
  };
  static const VariantInfo info = [&] {
    ParamSpec draw =
        integer("draw", "auto", 0, 1e12, "seed of the random blocks; auto is the seed of the run");
    draw.accepts_auto = true;
    return VariantInfo{
        .name = "bigbird",
        .family = "sparse",
        .summary = "blocks of keys: a window, global ones at both ends, and random ones",
        .formula =
            "O_i = sum_j softmax(scale q_i.k_j) v_j over window, global and random key blocks of "
            "the block of p = i + Nk - Nq;  global rows read all",
        .source =
            "Zaheer et al. 2020, Big Bird: Transformers for Longer Sequences, arXiv 2007.14062, "
            "section 2 and appendix D",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N", "1"},
        .params = {integer("block", "64", 1, 1e12, "positions in a block"),
                   integer("window", "3", 1, 1e12,
                           "blocks of the window, the query's own in the middle: an odd number"),
                   integer("globals", "1", 0, 1e12, "global blocks at each end"),
                   integer("random", "3", 0, 4096,
                           "r, random blocks per block row; a given random_blocks fixes it"),
                   draw},
        .aux = {{"random_blocks", "[nb - 2 globals, r]",
                 "key blocks of each row that is not global; drawn without repeats from whole "
                 "blocks that the row does not read otherwise, readable ones when causal",
                 true}},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
  }();
  return info;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::BigBird)
