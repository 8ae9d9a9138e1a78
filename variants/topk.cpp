// topk: softmax over the k largest logits of each query.
//
//   O_i = sum over j in T_i of softmax(scale q_i . k_j) v_j
//   T_i: the k keys of largest scale q_i . k_j, the lowest indices among equals
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exactly k keys count, or all that the mask allows where they are fewer. Approximates softmax
// attention: its mask depends on the data, so that its error is taken against softmax over all
// keys, and vanishes where the k largest logits carry all the weight. Time grows as N^2 (every
// logit is computed, only k values are read), workspace not at all. Rows whose k-th and next logit
// are nearer than float32 can tell are undecided in the reference.
//
// Source: Zhao et al. 2019, "Explicit Sparse Transformer: Concentrated Attention Through Explicit
// Selection", arXiv 1912.11637, section 3 (where every key tied with the k-th is kept; here exactly
// k).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention/registry.h"
#include "attention/score_reference.h"
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
        .exactness = Exactness::approximate,
        .laws = {"N^2", "1"},
        .params = {{.name = "k",
                    .type = ParamSpec::Type::integer,
                    .default_text = "32",
                    .minimum = 1,
                    .maximum = 1 << 24,
                    .choices = {},
                    .meaning = "keys per query"}},
        .aux = {},
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
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return std::unique_ptr<Plan>(std::make_unique<TopkPlan>(problem, params.integer("k")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

/// Whether float32 can tell the keys in `order` (best first) up to `count` from those after: no
/// key near the bound may differ from another on the other side. Equal vectors tie exactly, and the
/// index decides.
bool is_decided(const std::vector<double>& logits, const std::vector<std::size_t>& order,
                std::size_t count, const ConstTensorView& k, std::int64_t b, std::int64_t head) {
  if (order.size() <= count) return true;
  const double last = logits[order[count - 1]], next = logits[order[count]];
  const double margin = std::max(1e-5, 1e-6 * std::abs(last));
  if (last - next >= margin) return true;
  const auto bytes = static_cast<std::size_t>(k.shape[3]) * sizeof(float);
  const auto row = [&](std::size_t j) { return k.row(b, head, static_cast<std::int64_t>(j)); };
  return std::ranges::all_of(order, [&](std::size_t j) {
    const bool near = logits[j] < next + margin && logits[j] > last - margin;
    return !near || std::memcmp(row(j), row(order[count]), bytes) == 0;
  });
}

ReferenceRows Topk::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const auto wanted = static_cast<std::size_t>(request.params.integer("k"));
  ReferenceRows result;
  for (const RowIndex& row : request.rows) {
    const std::int64_t kv = row.head / p.group();
    const float* q = request.inputs.q.row(row.batch, row.head, row.query);
    std::vector<double> logits(static_cast<std::size_t>(p.key_length(row.batch)), -INFINITY);
    std::vector<std::size_t> order;
    for (std::size_t j = 0; j < logits.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!base_mask_allows(p, row.batch, row.query, key)) continue;
      logits[j] =
          p.scale_or_default() * dot64(q, request.inputs.k.row(row.batch, kv, key), p.dim_qk);
      order.push_back(j);
    }
    std::ranges::stable_sort(order,
                             [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    result.undecided.push_back(!is_decided(logits, order, wanted, request.inputs.k, row.batch, kv));
    for (std::size_t t = wanted; t < order.size(); ++t) logits[order[t]] = -INFINITY;
    append_weighted_values(p, request.inputs, row, softmax64(logits), result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Topk)
