// topk: softmax over the k largest logits of each query.
//
//   O_i = sum over j in T_i of softmax(scale q_i . k_j) v_j
//   T_i: the k keys of largest scale q_i . k_j, the lowest indices among equals
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exactly k keys count, or all that the masks allow where they are fewer; a sink joins the softmax
// and takes no key's place. Exact under its mask, which the logits choose: error figures are
// against softmax attention over the chosen keys. Time grows as N^2 (every logit is computed, only
// k values are read), workspace not at all. Rows whose k-th and next logit are nearer than float32
// can tell are undecided in the reference.
//
// Source: Zhao et al. 2019, "Explicit Sparse Transformer: Concentrated Attention Through Explicit
// Selection", arXiv 1912.11637, section 3 (where every key tied with the k-th is kept; here exactly
// k).
#include <algorithm>
#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax_choice.h"

namespace attnbench {
namespace {

class TopkPlan final : public Plan {
 public:
  TopkPlan(const Problem& problem, std::int64_t count) : problem_(problem), count_(count) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::topk_attention(problem_, problem_.scale_or_default(), count_, inputs, output,
                            workspace, executor);
  }

 private:
  Problem problem_;
  std::int64_t count_;
};

class Topk final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "topk",
        .family = "choice",
        .summary = "softmax over the k largest logits of each query",
        .formula =
            "O_i = sum_j softmax(scale q_i.k_j) v_j over the k largest scale q_i.k_j, lowest index "
            "first",
        .source =
            "Zhao et al. 2019, Explicit Sparse Transformer, arXiv 1912.11637, section 3, with "
            "exactly k keys",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N^2", "1"},
        .params = {{.name = "k",
                    .type = ParamSpec::Type::integer,
                    .default_text = "32",
                    .minimum = 1,
                    .maximum = 1 << 24,
                    .choices = {},
                    .meaning = "keys per query"}},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const kernels::ChoiceWork work = kernels::topk_attention_work(p, params.integer("k"), threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.min_bytes = compulsory_bytes(p);
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::with_placed_rows(problem,
                                     std::make_unique<TopkPlan>(problem, params.integer("k")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
  bool chooses_keys() const override { return true; }
};

/// Whether float32 can tell the keys in `order` (best first) up to `count` from those after: no
/// key near the bound may differ from another on the other side. Keys that tie exactly are decided
/// by the index.
bool is_decided(const ReferenceRequest& request, const RowIndex& at,
                const std::vector<double>& logits, const std::vector<std::size_t>& order,
                std::size_t count) {
  if (order.size() <= count) return true;
  const double last = logits[order[count - 1]], next = logits[order[count]];
  const double margin = std::max(1e-5, 1e-6 * std::abs(last));
  if (last - next >= margin) return true;
  return std::ranges::all_of(order, [&](std::size_t j) {
    const bool near = logits[j] < next + margin && logits[j] > last - margin;
    return !near || ties_exactly(request.problem, request.inputs, at, static_cast<std::int64_t>(j),
                                 static_cast<std::int64_t>(order[count]));
  });
}

ReferenceRows Topk::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const auto wanted = static_cast<std::size_t>(request.params.integer("k"));
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    std::vector<double> logits(static_cast<std::size_t>(p.key_length(row.batch)), -INFINITY);
    std::vector<std::size_t> order;
    for (std::size_t j = 0; j < logits.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
      const double score = dot64(placed.query(), placed.key(key), p.dim_qk);
      logits[j] = finished_logit(p, row, key, p.scale_or_default() * score);
      order.push_back(j);
    }
    std::ranges::stable_sort(order,
                             [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    result.undecided.push_back(!is_decided(request, row, logits, order, wanted));
    for (std::size_t t = wanted; t < order.size(); ++t) logits[order[t]] = -INFINITY;
    append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                           result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Topk)
