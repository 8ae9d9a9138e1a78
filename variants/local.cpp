// local: sliding-window attention.
//
//   O_i = sum over j of softmax(scale q_i . k_j) v_j,  -left <= j - (i + Nk - Nq) <= right
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact under its mask. Time grows as N once N is well above the window, workspace not at all. A
// window of W keys including the query's own (Mistral's convention) is left = W - 1, right = 0.
// Source: Beltagy, Peters, Cohan 2020, "Longformer", arXiv 2004.05150, section 3.1 (sliding
// window); one-sided as in Jiang et al. 2023, "Mistral 7B", arXiv 2310.06825, section 2.
#include "attention/registry.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

/// The window that the parameters ask for on this problem; -1 is unlimited.
struct Window {
  std::int64_t left = 0;
  std::int64_t right = 0;
};

Window window_of(const Problem& p, const ParamValues& params) {
  Window w{params.integer("left"),
           params.is_auto("right") ? (p.causal ? 0 : 128) : params.integer("right")};
  if (p.causal) w.right = 0;
  return w;
}

std::unique_ptr<const kernels::KeyPattern> pattern_of(const Problem& p, const ParamValues& params) {
  const Window w = window_of(p, params);
  return std::make_unique<kernels::WindowPattern>(w.left, w.right, p.diagonal(), p.seq_k,
                                                  p.key_lengths);
}

class Local final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "local",
        .family = "sparse",
        .summary = "sliding window around each query, one- or two-sided",
        .formula =
            "O_i = sum_j softmax(scale q_i.k_j) v_j over -left <= j - (i + Nk - Nq) <= right",
        .source =
            "Beltagy, Peters, Cohan 2020, Longformer, arXiv 2004.05150, section 3.1; "
            "Jiang et al. 2023, Mistral 7B, arXiv 2310.06825, section 2",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N", "1"},
        .params = {{.name = "left",
                    .type = ParamSpec::Type::integer,
                    .default_text = "128",
                    .minimum = -1,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "keys before the query's own position; -1 is unlimited"},
                   {.name = "right",
                    .type = ParamSpec::Type::integer,
                    .default_text = "auto",
                    .minimum = -1,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "keys after it; auto is 128, always 0 when causal; -1 is unlimited",
                    .accepts_auto = true}},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  GrowthLaws laws(const ParamValues& params) const override {
    const bool unlimited = params.text("left") == "-1" || params.text("right") == "-1";
    return {unlimited ? "N^2" : "N", "1"};
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    const Window w = window_of(p, params);
    const std::int64_t offset = j - (i + p.seq_k - p.seq_q);
    return base_mask_allows(p, b, i, j) && (w.left < 0 || offset >= -w.left) &&
           (w.right < 0 || offset <= w.right);
  }

  Cost cost(const Problem& problem, const ParamValues& params, int threads) const override {
    return kernels::tiled_plan_cost(problem, *pattern_of(problem, params), threads);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::make_tiled_plan(problem, pattern_of(problem, params));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Local)
