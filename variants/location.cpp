// location: softmax attention whose weights come from the query alone.
//
//   O_i = sum over j < Nk of softmax_j(W_j . q_i) v_j      (unscaled)
//
// Shapes: Q [B, Hq, Nq, D], V [B, Hkv, Nk, Dv], W [S_max, D] with S_max >= Nk, shared by all heads
// and cut to Nk rows before the softmax, O [B, Hq, Nq, Dv]. K is not read.
// Another function than softmax attention. The rows of W stand where the keys do, so that this is
// the tiled softmax engine. Time grows as N^2, workspace not at all. The weights ignore the keys,
// and there is no causal form; key lengths and masks from files cut the rows of W as they cut the
// values.
// Source: Luong, Pham, Manning 2015, "Effective Approaches to Attention-based Neural Machine
// Translation", arXiv 1508.04025, equation 8.
#include <fmt/format.h>

#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/scored_softmax_tiles.h"
#include "kernels/scored_softmax_weights.h"
#include "kernels/tiled_softmax.h"

namespace attnbench {
namespace {

class LocationPlan final : public Plan {
 public:
  LocationPlan(const Problem& problem, const AuxTensor& w)
      : problem_(problem), terms_(problem), w_(w) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    // The same rows for every batch row and head.
    const ConstTensorView rows{
        w_.values.data(), {p.batch, p.heads_kv, p.seq_k, p.dim_qk}, {0, 0, p.dim_qk}};
    const kernels::KeySource sources[] = {{rows, inputs.v}};
    const auto pattern = kernels::base_pattern(p);
    kernels::tiled_softmax({p, 1.0, sources, pattern, inputs.q, output, nullptr, terms_.if_any()},
                           workspace, executor);
  }

 private:
  Problem problem_;
  kernels::LogitTerms terms_;
  AuxTensor w_;
};

class Location final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "location",
        .family = "score",
        .summary = "weights from the query alone, one row of W per key position (Luong)",
        .formula = "O_i = sum_j softmax(W_j.q_i) v_j over j < Nk",
        .source =
            "Luong, Pham, Manning 2015, Effective Approaches to Attention-based Neural Machine "
            "Translation, arXiv 1508.04025, equation 8",
        .exactness = Exactness::different,
        .laws = {"N^2", "1"},
        .params = {},
        .aux = {{"W", "[S_max, D]",
                 "one row per key position, S_max >= Nk; normal, variance 1/D, S_max = Nk when not "
                 "given"}},
        .has_scale = false,
        // Keys are not read: there is nothing to place.
        .takes = {{Position::alibi}, true, true},
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues&) const override {
    if (p.causal) return "location has no causal form: its weights do not depend on the keys";
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues&, int threads) const override {
    const auto d = [](std::int64_t x) { return static_cast<double>(x); };
    const kernels::TileWork work =
        kernels::tiled_softmax_work(p, kernels::base_pattern(p), threads);
    Cost cost;
    cost.performed_flops = work.flops(p.dim_qk, p.dim_v);
    cost.exp_count = work.exps_with(kernels::LogitTerms(p));
    cost.min_bytes = compulsory_bytes(p) - 4 * d(p.batch * p.heads_kv * p.seq_k * p.dim_qk) +
                     4 * d(p.seq_k * p.dim_qk);
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes =
        kernels::tiled_softmax_workspace_bytes(p, kernels::base_pattern(p), threads);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues&, AuxSet given,
                              std::uint64_t seed) const override {
    std::int64_t rows = p.seq_k;
    if (const auto w = given.find("W"); w != given.end() && !w->second.shape.empty()) {
      rows = w->second.shape[0];
      if (rows < p.seq_k) {
        return usage_error(
            fmt::format("location: W is {}, accepted is [S_max, D] with S_max at "
                        "least Nk = {}",
                        shape_text(w->second.shape), p.seq_k));
      }
    }
    return kernels::complete_weights("location", {{"W", {rows, p.dim_qk}, "[S_max, D]", p.dim_qk}},
                                     std::move(given), seed);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet& aux) const override {
    return std::unique_ptr<Plan>(std::make_unique<LocationPlan>(problem, aux.at("W")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override {
    const Problem& p = request.problem;
    ReferenceRows result;
    for (const RowIndex& row : request.rows) {
      auto logits = product64(request.aux.at("W").values.data(), p.key_length(row.batch), p.dim_qk,
                              request.inputs.q.row(row.batch, row.head, row.query));
      for (std::size_t s = 0; s < logits.size(); ++s) {
        const auto j = static_cast<std::int64_t>(s);
        const bool reads = mask_allows(p, row.batch, row.head, row.query, j);
        logits[s] = reads ? finished_logit(p, row, j, logits[s]) : -INFINITY;
      }
      append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                             result.values);
    }
    return result;
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Location)
