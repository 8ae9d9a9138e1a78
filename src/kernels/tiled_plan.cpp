#include "kernels/tiled_plan.h"

#include <utility>

#include "kernels/placed_rows.h"

namespace attnbench::kernels {
namespace {

class TiledPlan final : public Plan {
 public:
  TiledPlan(const Problem& problem, std::unique_ptr<const KeyPattern> pattern)
      : problem_(problem), terms_(problem), pattern_(std::move(pattern)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const KeySource sources[] = {{inputs.k, inputs.v}};
    tiled_softmax({problem_, problem_.scale_or_default(), sources, *pattern_, inputs.q, output,
                   nullptr, terms_.if_any()},
                  workspace, executor);
  }

 private:
  Problem problem_;
  LogitTerms terms_;
  std::unique_ptr<const KeyPattern> pattern_;
};

}  // namespace

std::unique_ptr<Plan> make_tiled_plan(const Problem& problem,
                                      std::unique_ptr<const KeyPattern> pattern) {
  return with_placed_rows(problem, std::make_unique<TiledPlan>(problem, std::move(pattern)));
}

Cost tiled_plan_cost(const Problem& problem, const KeyPattern& pattern, int threads) {
  const TileWork work = tiled_softmax_work(problem, pattern, threads);
  Cost cost;
  cost.performed_flops = work.flops(problem.dim_qk, problem.dim_v);
  cost.exp_count = work.exps_with(LogitTerms(problem));
  cost.min_bytes = compulsory_bytes(problem);
  cost.traffic_bytes = cost.min_bytes;
  cost.useful_flops = dense_flops(problem);
  cost.workspace_bytes = tiled_softmax_workspace_bytes(problem, pattern, threads);
  add_placed_rows_cost(problem, cost);
  return cost;
}

}  // namespace attnbench::kernels
