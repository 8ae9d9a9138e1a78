// sparse: the factorised attention of the Sparse Transformer, both sets merged into one softmax.
//
//   O_i = sum over j in A(i) of softmax(scale q_i . k_j) v_j,  with p = i + Nk - Nq and stride l:
//   strided: A = {|p - j| < l} u {(p - j) mod l = 0}
//   fixed:   A = {floor(j / l) = floor(p / l)} u {j mod l >= l - c}
//   and j <= p when causal.
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact under its mask. Time grows as N^1.5 with l near sqrt(N), as N^2 at a fixed l. Workspace
// grows as N (strided: a running maximum and sum per query) or as N^0.5 (fixed: the summary keys).
// Source: Child, Gray, Radford, Sutskever 2019, "Generating Long Sequences with Sparse
// Transformers", arXiv 1904.10509, section 4.3. c residues count as summaries (the paper's "l - c
// to l" names one that cannot occur), and the bidirectional form is the symmetric extension.
#include <cmath>

#include "attention/registry.h"
#include "kernels/placed_rows.h"
#include "kernels/strided_pattern.h"

namespace attnbench {
namespace {

struct Pattern {
  bool strided = true;
  std::int64_t stride = 1;
  std::int64_t summary = 1;
};

Pattern pattern_of(const Problem& p, const ParamValues& params) {
  const auto root =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(p.seq_k))));
  return {params.text("pattern") == "strided",
          params.is_auto("stride") ? std::max<std::int64_t>(root, 1) : params.integer("stride"),
          params.integer("summary")};
}

class SparsePlan final : public Plan {
 public:
  SparsePlan(const Problem& problem, const Pattern& pattern)
      : problem_(problem), terms_(problem), pattern_(pattern) {}
  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    if (pattern_.strided) {
      kernels::strided_softmax(problem_, terms_, pattern_.stride, inputs, output, workspace,
                               executor);
    } else {
      kernels::fixed_softmax(problem_, terms_, pattern_.stride, pattern_.summary, inputs, output,
                             workspace, executor);
    }
  }

 private:
  Problem problem_;
  kernels::LogitTerms terms_;
  Pattern pattern_;
};

class Sparse final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "sparse",
        .family = "sparse",
        .summary = "Sparse Transformer: a local band and every l-th key, or blocks and summaries",
        .formula =
            "strided: |p - j| < l or (p - j) mod l = 0;  "
            "fixed: same block of l keys, or j mod l >= l - c;  p = i + Nk - Nq",
        .source =
            "Child, Gray, Radford, Sutskever 2019, Generating Long Sequences with Sparse "
            "Transformers, arXiv 1904.10509, section 4.3",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N^1.5", "N"},
        .params = {{.name = "pattern",
                    .type = ParamSpec::Type::choice,
                    .default_text = "strided",
                    .minimum = {},
                    .maximum = {},
                    .choices = {"strided", "fixed"},
                    .meaning = "which second set of keys joins the local one"},
                   {.name = "stride",
                    .type = ParamSpec::Type::integer,
                    .default_text = "auto",
                    .minimum = 1,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "l; auto is the integer nearest to sqrt(Nk)",
                    .accepts_auto = true},
                   {.name = "summary",
                    .type = ParamSpec::Type::integer,
                    .default_text = "1",
                    .minimum = 1,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "c, summary keys at the end of each block (fixed)"}},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  GrowthLaws laws(const ParamValues& params) const override {
    const bool strided = params.text("pattern") == "strided";
    if (params.is_auto("stride")) return {"N^1.5", strided ? "N" : "N^0.5"};
    return {"N^2", "N"};
  }

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues& params) const override {
    const Pattern pattern = pattern_of(p, params);
    if (!pattern.strided && pattern.summary > pattern.stride) {
      return "summary " + std::to_string(pattern.summary) + " is more than the stride of " +
             std::to_string(pattern.stride) + " keys";
    }
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    if (!base_mask_allows(p, b, i, j)) return false;
    const Pattern pattern = pattern_of(p, params);
    const std::int64_t l = pattern.stride;
    const std::int64_t position = i + p.seq_k - p.seq_q;
    if (pattern.strided) {
      const std::int64_t distance = std::abs(position - j);
      return distance < l || distance % l == 0;
    }
    return (position >= 0 && position / l == j / l) || j % l >= l - pattern.summary;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const Pattern pattern = pattern_of(p, params);
    const kernels::TileWork work =
        pattern.strided ? kernels::strided_softmax_work(p, pattern.stride)
                        : kernels::fixed_softmax_work(p, pattern.stride, pattern.summary, threads);
    Cost cost;
    cost.performed_flops = work.flops(p.dim_qk, p.dim_v);
    cost.exp_count = work.exps_with(kernels::LogitTerms(p));
    cost.min_bytes = compulsory_bytes(p);
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes =
        pattern.strided
            ? kernels::strided_softmax_workspace_bytes(p, pattern.stride, threads)
            : kernels::fixed_softmax_workspace_bytes(p, pattern.stride, pattern.summary, threads);
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::with_placed_rows(
        problem, std::make_unique<SparsePlan>(problem, pattern_of(problem, params)));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Sparse)
