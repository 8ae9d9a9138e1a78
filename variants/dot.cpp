// dot: softmax attention on unscaled dot products.
//
//   O = softmax(Q K^T + mask) V
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Another function than softmax attention, which scales by 1/sqrt(D): logits of independent inputs
// have a standard deviation of sqrt(D), so the weights are near one-hot. Dividing Q by sqrt(D)
// makes the two equal. Time grows as N^2, workspace not at all.
// Source: Luong, Pham, Manning 2015, "Effective Approaches to Attention-based Neural Machine
// Translation", arXiv 1508.04025, section 3.1 (score "dot").
#include "attention/reference.h"
#include "attention/registry.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

Problem unscaled(const Problem& p) {
  Problem plain = p;
  plain.scale = 1;
  return plain;
}

std::unique_ptr<const kernels::KeyPattern> pattern_of(const Problem& p) {
  return std::make_unique<kernels::WindowPattern>(kernels::WindowPattern::kUnlimited,
                                                  p.causal ? 0 : kernels::WindowPattern::kUnlimited,
                                                  p.diagonal(), p.seq_k, p.key_lengths);
}

class Dot final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "dot",
        .family = "score",
        .summary = "softmax over unscaled dot products (Luong's dot score)",
        .formula = "O = softmax(Q K^T + mask) V",
        .source =
            "Luong, Pham, Manning 2015, Effective Approaches to Attention-based Neural Machine "
            "Translation, arXiv 1508.04025, section 3.1",
        .exactness = Exactness::different,
        .laws = {"N^2", "1"},
        .params = {},
        .aux = {},
        .has_scale = false,
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
    return kernels::make_tiled_plan(unscaled(problem), pattern_of(problem));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override {
    const Problem plain = unscaled(request.problem);
    const auto mask = [&](std::int64_t b, std::int64_t, std::int64_t i, std::int64_t j) {
      return base_mask_allows(plain, b, i, j);
    };
    return {softmax_attention_rows(plain, request.inputs, request.rows, mask), {}};
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Dot)
