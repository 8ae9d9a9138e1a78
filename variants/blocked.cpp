// blocked: attention within blocks of the sequence, and their neighbours.
//
//   O_i = sum over j of softmax(scale q_i . k_j) v_j,
//   |floor(p / b) - floor(j / b)| <= neighbours,  p = i + Nk - Nq,  and j <= p when causal
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact under its mask, a block diagonal (0 neighbours) or a band of blocks. Time grows as N once N
// is well above the block, workspace not at all.
// Source: Qiu, Ma, Levy, Yih, Wang, Tang 2020, "Blockwise Self-Attention for Long Document
// Understanding", arXiv 1911.02972, section 3.2 (the identity permutation); with neighbours as in
// Parmar et al. 2018, "Image Transformer", arXiv 1802.05751, section 3.3 (memory blocks).
#include <cstdlib>

#include "attention/registry.h"
#include "kernels/block_pattern.h"

namespace attnbench {
namespace {

kernels::BlockRows rows_of(const Problem& p, const ParamValues& params) {
  const std::int64_t neighbours = params.integer("neighbours");
  const std::int64_t block = params.integer("block");
  const std::int64_t blocks = kernels::block_count(p, block);
  return kernels::make_block_rows(
      p, block, [&](std::int64_t row, std::vector<std::int64_t>& columns) {
        const std::int64_t last = std::min(row + neighbours, blocks - 1);
        for (std::int64_t column = std::max<std::int64_t>(row - neighbours, 0); column <= last;
             ++column) {
          columns.push_back(column);
        }
      });
}

class Blocked final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "blocked",
        .family = "sparse",
        .summary = "attention within blocks of the sequence, and their neighbours",
        .formula =
            "O_i = sum_j softmax(scale q_i.k_j) v_j over |floor(p / b) - floor(j / b)| <= "
            "neighbours;  p = i + Nk - Nq",
        .source =
            "Qiu, Ma, Levy, Yih, Wang, Tang 2020, Blockwise Self-Attention for Long Document "
            "Understanding, arXiv 1911.02972, section 3.2; Parmar et al. 2018, Image Transformer, "
            "arXiv 1802.05751, section 3.3",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N", "1"},
        .params = {{.name = "block",
                    .type = ParamSpec::Type::integer,
                    .default_text = "128",
                    .minimum = 1,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "b, positions in a block"},
                   {.name = "neighbours",
                    .type = ParamSpec::Type::integer,
                    .default_text = "0",
                    .minimum = 0,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "blocks read on each side of the query's own"}},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    const std::int64_t block = params.integer("block");
    // A position before the first key is in a block of its own kind: rounded down, not to zero.
    const std::int64_t position = i + p.seq_k - p.seq_q;
    const std::int64_t row = position >= 0 ? position / block : -((block - 1 - position) / block);
    return base_mask_allows(p, b, i, j) &&
           std::abs(row - j / block) <= params.integer("neighbours");
  }

  Cost cost(const Problem& problem, const ParamValues& params, int threads) const override {
    return kernels::block_plan_cost(problem, rows_of(problem, params), threads);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::make_block_plan(problem, rows_of(problem, params));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Blocked)
