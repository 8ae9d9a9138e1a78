// additive: softmax attention whose score is a one-layer network (Bahdanau attention).
//
//   s_ij = v . tanh(Wq q_i + Wk k_j + b),   O_i = sum_j softmax_j(s_ij) v_j      (unscaled)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], Wq and Wk [d_a, D], v and b
// [d_a], shared by all heads, O [B, Hq, Nq, Dv].
// Another function than softmax attention. Time grows as N^2 with d_a tanh per pair, workspace
// (Wk k for every key) as N. The tanh of a sum is rational in the exponentials of its terms, which
// are taken once per query and once per key; see kernels/scored_softmax.h. FLOPs count that form.
// Source: Bahdanau, Cho, Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and
// Translate", arXiv 1409.0473, appendix A.1.2.
#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax.h"
#include "kernels/scored_softmax_weights.h"

namespace attnbench {
namespace {

std::int64_t hidden_of(const Problem& p, const ParamValues& params) {
  return kernels::weight_size(params, "hidden", p.dim_qk);
}

class AdditivePlan final : public Plan {
 public:
  AdditivePlan(const Problem& problem, const AuxSet& aux)
      : problem_(problem),
        score_(kernels::pack_additive_score(problem.dim_qk, aux.at("v").shape[0],
                                            {aux.at("Wq").values.data(), problem.dim_qk},
                                            {aux.at("Wk").values.data(), problem.dim_qk},
                                            aux.at("b").values.data(), aux.at("v").values.data())) {
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::pair_score_softmax(problem_, score_, inputs, output, workspace, executor);
  }

 private:
  Problem problem_;
  kernels::PairScore score_;
};

class Additive final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "additive",
        .family = "score",
        .summary = "score by a one-layer network on query and key (Bahdanau)",
        .formula = "s_ij = v.tanh(Wq q_i + Wk k_j + b);  O_i = sum_j softmax(s_ij) v_j",
        .source =
            "Bahdanau, Cho, Bengio 2015, Neural Machine Translation by Jointly Learning to Align "
            "and Translate, arXiv 1409.0473, appendix A.1.2",
        .exactness = Exactness::different,
        .laws = {"N^2", "N"},
        .params = {{.name = "hidden",
                    .type = ParamSpec::Type::integer,
                    .default_text = "auto",
                    .minimum = 1,
                    .maximum = 1 << 16,
                    .choices = {},
                    .meaning = "d_a, hidden units; auto is D; given weights fix it",
                    .accepts_auto = true}},
        .aux = {{"Wq", "[d_a, D]", "projects queries; normal, variance 1/D, when not given"},
                {"Wk", "[d_a, D]", "projects keys; normal, variance 1/D, when not given"},
                {"v", "[d_a]", "weights of the hidden units; normal, variance 1/d_a"},
                {"b", "[d_a]", "bias of the hidden units; 0 when not given"}},
        .has_scale = false,
        // Rows are projected before they meet: a rotation of both would not tell distances.
        .takes = {{Position::sinusoidal, Position::alibi}, true, true},
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const std::int64_t hidden = hidden_of(p, params);
    const kernels::PairScoreWork work = kernels::pair_score_work(p, hidden, 0, threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.min_bytes = compulsory_bytes(p) + 4 * static_cast<double>(2 * hidden * (p.dim_qk + 1));
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    const std::int64_t hidden = kernels::weight_size(
        params, "hidden", p.dim_qk, given, {{"Wq", 0, 2}, {"Wk", 0, 2}, {"v", 0, 1}, {"b", 0, 1}});
    return kernels::complete_weights("additive",
                                     {{"Wq", {hidden, p.dim_qk}, "[d_a, D]", p.dim_qk},
                                      {"Wk", {hidden, p.dim_qk}, "[d_a, D]", p.dim_qk},
                                      {"v", {hidden}, "[d_a]", hidden},
                                      {"b", {hidden}, "[d_a]", 0}},
                                     std::move(given), seed);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet& aux) const override {
    return kernels::with_placed_rows(problem, std::make_unique<AdditivePlan>(problem, aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

ReferenceRows Additive::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const AuxTensor &wq = request.aux.at("Wq"), &wk = request.aux.at("Wk");
  const AuxTensor &v = request.aux.at("v"), &bias = request.aux.at("b");
  const std::int64_t hidden = v.shape[0];
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  std::vector<std::vector<double>> projected;  // Wk k_j of the current head.
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    if (placed.is_new_head()) {
      projected.clear();
      for (std::int64_t j = 0; j < p.key_length(row.batch); ++j) {
        projected.push_back(product64(wk.values.data(), hidden, p.dim_qk, placed.key(j)));
      }
    }
    const auto query = product64(wq.values.data(), hidden, p.dim_qk, placed.query());
    std::vector<double> logits(projected.size(), -INFINITY);
    for (std::size_t j = 0; j < logits.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
      double score = 0;
      for (std::size_t a = 0; a < query.size(); ++a) {
        score += static_cast<double>(v.values[a]) *
                 std::tanh(query[a] + projected[j][a] + static_cast<double>(bias.values[a]));
      }
      logits[j] = finished_logit(p, row, key, score);
    }
    append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                           result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Additive)
