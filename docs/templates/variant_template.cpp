// band: TEMPLATE of a variant file, softmax attention within a band of keys around each query.
// (Replace this block: name, formula, shapes, growth, exactness, paper and equation.)
//
//   O_i = sum over j of softmax(scale q_i . k_j) v_j,  |j - (i + Nk - Nq)| <= width
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact under its mask. Time grows as N once N is well above the band, workspace not at all.
// Source: authors, year, title, section or equation.
#include <cstdlib>

#include "attention/registry.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

/// The keys that each query may read, as the tiled softmax engine wants to know it.
std::unique_ptr<const kernels::KeyPattern> pattern_of(const Problem& p, const ParamValues& params) {
  const std::int64_t width = params.integer("width");
  return std::make_unique<kernels::WindowPattern>(width, p.causal ? 0 : width, p.diagonal(),
                                                  p.seq_k, p.key_lengths);
}

// SoftmaxVariant writes the float64 reference from allows(). A variant that is not softmax
// attention under a mask derives from Variant and implements reference() itself, for clarity, with
// no code from kernels/.
class Band final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "template-band",
        .family = "sparse",
        .summary = "one line for `attnbench list`",
        .formula = "O_i = sum_j softmax(scale q_i.k_j) v_j over |j - (i + Nk - Nq)| <= width",
        .source = "authors, year, title, section or equation",
        .exactness = Exactness::exact_under_mask,
        .laws = {.time = "N", .workspace = "1"},
        .params = {{.name = "width",
                    .type = ParamSpec::Type::integer,
                    .default_text = "64",
                    .minimum = 0,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "keys on each side of the query's own position"}},
        .aux = {},
    };
    return info;
  }

  /// A reason, in words that will stand in a row, for what the definition does not cover.
  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    return base_mask_allows(p, b, i, j) &&
           std::abs(j - (i + p.diagonal())) <= params.integer("width");
  }

  /// What is executed, masked work included; the fits and the roofline are held against it.
  Cost cost(const Problem& problem, const ParamValues& params, int threads) const override {
    return kernels::tiled_plan_cost(problem, *pattern_of(problem, params), threads);
  }

  /// Untimed: whatever does not depend on Q, K or V. The plan's run() does the rest.
  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::make_tiled_plan(problem, pattern_of(problem, params));
  }
};

ATTNBENCH_REGISTER_VARIANT(Band)

}  // namespace
}  // namespace attnbench
