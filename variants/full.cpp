// full: softmax attention with the score matrix in memory.
//
//   S = scale Q K^T + mask,  P = softmax(S) by rows,  O = P V
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact. Time and workspace grow as N^2: one Nq x Nk matrix of scores, turned into weights in
// place, per head in flight.
// Source: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin 2017, "Attention Is
// All You Need", arXiv 1706.03762, equation 1.
#include "attention/registry.h"
#include "kernels/materialised_softmax.h"
#include "kernels/placed_rows.h"

namespace attnbench {
namespace {

class FullPlan final : public Plan {
 public:
  explicit FullPlan(const Problem& problem) : problem_(problem), terms_(problem) {}
  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::materialised_softmax(problem_, problem_.scale_or_default(), terms_, inputs, output,
                                  workspace, executor);
  }

 private:
  Problem problem_;
  kernels::LogitTerms terms_;
};

class Full final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "full",
        .family = "softmax",
        .summary = "softmax attention with the score matrix written to memory",
        .formula = "S = scale Q K^T + mask;  P = softmax(S);  O = P V",
        .source = "Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, equation 1",
        .exactness = Exactness::exact,
        .laws = {"N^2", "N^2"},
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

  Cost cost(const Problem& p, const ParamValues&, int threads) const override {
    const kernels::TileWork work = kernels::materialised_softmax_work(p, threads);
    Cost cost;
    cost.performed_flops = work.flops(p.dim_qk, p.dim_v);
    cost.exp_count = work.exps_with(kernels::LogitTerms(p));
    cost.min_bytes = compulsory_bytes(p);
    // Scores written and read, weights written and read.
    cost.traffic_bytes = cost.min_bytes + 16 * work.pairs;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = kernels::materialised_softmax_workspace_bytes(p, threads);
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet&) const override {
    return kernels::with_placed_rows(problem, std::make_unique<FullPlan>(problem));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Full)
