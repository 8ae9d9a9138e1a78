// block-mask: softmax attention under any mask of whole blocks.
//
//   O_i = sum over j of softmax(scale q_i . k_j) v_j over the key blocks floor(j / b) that the
//   block floor(p / b) of p = i + Nk - Nq reads, and j <= p when causal
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// The mask is the problem's, from a file (`--mask FILE --mask-block b` for one entry a block);
// where there is none it is drawn: every block of queries reads its own block of keys and as many
// others as the density says. Exact under its mask. Time grows as N^2 at a fixed density, workspace
// not at all: blocks that are not read are not visited. Source: Gray, Radford, Kingma 2017, "GPU
// Kernels for Block-Sparse Weights", OpenAI; for attention Child et al. 2019, "Generating Long
// Sequences with Sparse Transformers", arXiv 1904.10509, section 5.5 (efficient block-sparse
// attention); Dao et al. 2022, FlashAttention, arXiv 2205.14135, section 3.3 (block-sparse
// FlashAttention).
//
// A drawn mask decides what is computed, and the reference sees parameters only: complete_aux()
// writes the seed that draws it into them.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "attention/registry.h"
#include "attention/sampling.h"
#include "kernels/block_pattern.h"

namespace attnbench {
namespace {

/// A mask of blocks drawn from a seed. How many pairs it has does not depend on the seed: blocks
/// that are cut short, by the end of the keys or the causal diagonal, are always read.
class DrawnBlocks {
 public:
  DrawnBlocks(const Problem& p, const ParamValues& params)
      : block_(params.integer("block")),
        density_(params.real("density")),
        count_(kernels::block_count(p, block_)),
        whole_(p.seq_k / block_),
        causal_(p.causal) {
    for (const std::int64_t length : p.key_lengths) whole_ = std::min(whole_, length / block_);
    const std::string& seed = params.text("draw");
    if (seed != "auto") std::from_chars(seed.data(), seed.data() + seed.size(), seed_);
  }

  bool operator==(const DrawnBlocks&) const = default;

  std::int64_t block() const { return block_; }

  /// The key blocks that a block of positions reads.
  void row(std::int64_t row, std::vector<std::int64_t>& columns) const {
    // Whole blocks besides its own: those before it, and after it unless causal.
    const std::int64_t before = std::clamp<std::int64_t>(row, 0, whole_);
    const std::int64_t after =
        causal_ ? 0 : std::max<std::int64_t>(whole_ - std::max<std::int64_t>(row + 1, 0), 0);
    // And others that the end of the keys cuts short in some batch row.
    std::vector<std::int64_t> cut;
    for (std::int64_t column = whole_; column < (causal_ ? std::min(row, count_) : count_);
         ++column) {
      if (column != row) cut.push_back(column);
    }
    const bool own = row >= 0 && row < count_;
    const auto others = before + after + static_cast<std::int64_t>(cut.size());
    const std::int64_t wanted =
        std::max<std::int64_t>(part(others + (own ? 1 : 0)) - (own ? 1 : 0), 0);
    const std::int64_t wanted_cut =
        std::clamp<std::int64_t>(part(static_cast<std::int64_t>(cut.size())), 0, wanted);
    const auto first = static_cast<std::uint64_t>(row + kRowsBelow) << 32;
    std::vector<std::int64_t> always;
    draw_distinct(CounterRng(0, "block-mask"), first, wanted_cut,
                  static_cast<std::int64_t>(cut.size()), always);
    for (std::int64_t& column : always) column = cut[static_cast<std::size_t>(column)];
    if (own) always.push_back(row);
    const CounterRng rng(seed_, "block-mask");
    draw_distinct(rng, first, std::clamp<std::int64_t>(wanted - wanted_cut, 0, before + after),
                  before + after, columns);
    for (std::int64_t& column : columns) {
      if (column >= before) column += whole_ - before - after;
    }
    columns.insert(columns.end(), always.begin(), always.end());
  }

 private:
  std::int64_t part(std::int64_t blocks) const {
    return std::llround(density_ * static_cast<double>(blocks));
  }

  /// Rows of positions before the first key are negative.
  static constexpr std::int64_t kRowsBelow = std::int64_t{1} << 30;
  std::int64_t block_;
  double density_;
  std::int64_t count_;
  std::int64_t whole_;  ///< Blocks of keys that are whole in every batch row.
  bool causal_;
  std::uint64_t seed_ = 1;
};

/// Whether a row of a drawn mask reads a block of keys. Rows are kept one per thread: callers ask
/// for one key of a row after the other.
bool reads_block(const DrawnBlocks& drawn, std::int64_t row, std::int64_t column) {
  struct LastRow {
    std::optional<DrawnBlocks> drawn;
    std::int64_t row = 0;
    std::vector<std::int64_t> columns;  // Ascending.
  };
  thread_local LastRow last;
  if (last.drawn != drawn || last.row != row) {
    last.columns.clear();
    drawn.row(row, last.columns);
    std::ranges::sort(last.columns);
    last.drawn = drawn;
    last.row = row;
  }
  return std::ranges::binary_search(last.columns, column);
}

/// All blocks under a mask from a file, else those that are drawn.
kernels::BlockRows rows_of(const Problem& p, const ParamValues& params) {
  const DrawnBlocks drawn(p, params);
  const std::int64_t count = kernels::block_count(p, drawn.block());
  return kernels::make_block_rows(p, drawn.block(),
                                  [&](std::int64_t row, std::vector<std::int64_t>& columns) {
                                    if (p.mask == nullptr) return drawn.row(row, columns);
                                    for (std::int64_t c = 0; c < count; ++c) columns.push_back(c);
                                  });
}

class BlockMask final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override;

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    if (!base_mask_allows(p, b, i, j)) return false;
    if (p.mask != nullptr) return true;
    const DrawnBlocks drawn(p, params);
    const std::int64_t position = i + p.diagonal();
    // A position before the first key is in a block of its own kind: rounded down, not to zero.
    const std::int64_t row = position >= 0 ? position / drawn.block()
                                           : -((drawn.block() - 1 - position) / drawn.block());
    return reads_block(drawn, row, j / drawn.block());
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    return kernels::block_plan_cost(p, rows_of(p, params), threads);
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    if (params.is_auto("draw")) params.set("draw", std::to_string(seed));
    return SoftmaxVariant::complete_aux(p, params, std::move(given), seed);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& p, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::make_block_plan(p, rows_of(p, params));
  }
};

const VariantInfo& BlockMask::info() const {
  static const VariantInfo info{
      .name = "block-mask",
      .family = "sparse",
      .summary = "any mask of whole blocks, from a file or drawn at a density",
      .formula =
          "O_i = sum_j softmax(scale q_i.k_j) v_j over the key blocks that the block of "
          "p = i + Nk - Nq reads:  those of --mask FILE --mask-block b, else drawn ones",
      .source =
          "Gray, Radford, Kingma 2017, GPU Kernels for Block-Sparse Weights; Child et al. 2019, "
          "Generating Long Sequences with Sparse Transformers, arXiv 1904.10509, section 5.5; Dao "
          "et al. 2022, FlashAttention, arXiv 2205.14135, section 3.3",
      .exactness = Exactness::exact_under_mask,
      .laws = {"N^2", "1"},
      .params = {{.name = "block",
                  .type = ParamSpec::Type::integer,
                  .default_text = "64",
                  .minimum = 1,
                  .maximum = 1e12,
                  .choices = {},
                  .meaning = "b, positions in a block of a drawn mask"},
                 {.name = "density",
                  .type = ParamSpec::Type::real,
                  .default_text = "0.25",
                  .minimum = 0,
                  .maximum = 1,
                  .choices = {},
                  .meaning = "part of the readable key blocks that a drawn mask reads, the query's "
                             "own always among them"},
                 {.name = "draw",
                  .type = ParamSpec::Type::integer,
                  .default_text = "auto",
                  .minimum = 0,
                  .maximum = 1e12,
                  .choices = {},
                  .meaning = "seed of the drawn mask; auto is the seed of the run",
                  .accepts_auto = true}},
      .aux = {},
      .takes = ScoreOptions::all(),
      .takes_mask = true,
  };
  return info;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::BlockMask)
