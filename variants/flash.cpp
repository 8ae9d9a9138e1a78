// flash: tiled softmax attention.
//
//   O = softmax(scale Q K^T + mask) V
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact. Time grows as N^2, workspace not at all: scores exist one 64 x 64 block at a time, and a
// running maximum and sum per query make the softmax exact (online softmax).
// Source: Dao, Fu, Ermon, Rudra, Re 2022, "FlashAttention", arXiv 2205.14135, Algorithm 1; loop
// order and unnormalised accumulator of Dao 2023, "FlashAttention-2", arXiv 2307.08691,
// section 3.1.
#include "attention/registry.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

std::unique_ptr<const kernels::KeyPattern> pattern_of(const Problem& p) {
  return std::make_unique<kernels::WindowPattern>(kernels::WindowPattern::kUnlimited,
                                                  p.causal ? 0 : kernels::WindowPattern::kUnlimited,
                                                  p.diagonal(), p.seq_k, p.key_lengths);
}

class Flash final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "flash",
        .family = "softmax",
        .summary = "softmax attention in tiles, scores never in memory (online softmax)",
        .formula = "O = softmax(scale Q K^T + mask) V",
        .source =
            "Dao, Fu, Ermon, Rudra, Re 2022, FlashAttention, arXiv 2205.14135, Algorithm 1; "
            "Dao 2023, FlashAttention-2, arXiv 2307.08691, section 3.1",
        .exactness = Exactness::exact,
        .laws = {"N^2", "1"},
        .params = {},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& problem, const ParamValues&, int threads) const override {
    return kernels::tiled_plan_cost(problem, *pattern_of(problem), threads);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet&) const override {
    return kernels::make_tiled_plan(problem, pattern_of(problem));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Flash)
