// local-p: predictive local attention, a Gaussian-weighted window around a predicted position.
//
//   O_i = sum over |s - p_i| <= D_w of softmax_s(q_i . k_s) exp(-(s - p_i)^2 / (2 sigma^2)) v_s
//   p_i = Nk sigmoid(vp . tanh(Wp q_i)),  sigma = D_w / 2,  integer positions s from 0 (unscaled)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], Wp [d_a, D] and vp [d_a] shared
// by all heads, O [B, Hq, Nq, Dv].
// Another function than softmax attention: p is a real number, the softmax runs over the whole
// positions in the window, cut at both ends of the sequence, by key lengths, masks from files and,
// when causal, at j <= i + Nk - Nq (a row whose window is all in the future is zero); soft cap,
// ALiBi and sink are the softmax's; the Gaussian is not
// renormalised. Nk is the problem's, also where a key length is shorter. Time grows as N, workspace
// not at all. Positions are computed in float64, at half the rate of float32: at the default window
// that is the larger part of the time. Rows for which a position is within 1e-9 Nk of the window's
// end are undecided in the reference.
//
// Source: Luong, Pham, Manning 2015, "Effective Approaches to Attention-based Neural Machine
// Translation", arXiv 1508.04025, section 3.2, equations 9 and 10.
#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax_weights.h"
#include "kernels/scored_softmax_window.h"

namespace attnbench {
namespace {

class LocalPPlan final : public Plan {
 public:
  LocalPPlan(const Problem& problem, std::int64_t window, const AuxSet& aux)
      : problem_(problem),
        window_(window),
        network_(kernels::pack_position_network(problem.dim_qk, aux.at("vp").shape[0],
                                                aux.at("Wp").values.data(),
                                                aux.at("vp").values.data())) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::predictive_window_attention(problem_, window_, network_, inputs, output, workspace,
                                         executor);
  }

 private:
  Problem problem_;
  std::int64_t window_;
  kernels::PositionNetwork network_;
};

class LocalP final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "local-p",
        .family = "sparse",
        .summary = "Gaussian-weighted window around a position predicted from the query (Luong)",
        .formula =
            "O_i = sum_s softmax(q_i.k_s) exp(-(s - p_i)^2 / (2 sigma^2)) v_s over |s - p_i| <= "
            "D_w;  p_i = Nk sigmoid(vp.tanh(Wp q_i)), sigma = D_w/2",
        .source =
            "Luong, Pham, Manning 2015, Effective Approaches to Attention-based Neural Machine "
            "Translation, arXiv 1508.04025, section 3.2, equations 9 and 10",
        .exactness = Exactness::different,
        .laws = {"N", "1"},
        .params = {{.name = "window",
                    .type = ParamSpec::Type::integer,
                    .default_text = "10",
                    .minimum = 1,
                    .maximum = 1e9,
                    .choices = {},
                    .meaning = "D_w, positions on each side; sigma is half of it"},
                   {.name = "hidden",
                    .type = ParamSpec::Type::integer,
                    .default_text = "auto",
                    .minimum = 1,
                    .maximum = 1 << 16,
                    .choices = {},
                    .meaning = "d_a, hidden units of the predictor; auto is D; given weights fix "
                               "it",
                    .accepts_auto = true}},
        .aux = {{"Wp", "[d_a, D]", "predicts positions; normal, variance 1/D, when not given"},
                {"vp", "[d_a]", "weights of the hidden units; normal, variance 1/d_a"}},
        .has_scale = false,
        // Positions are predicted from the placed query: a rotation would turn what predicts them.
        .takes = {{Position::sinusoidal, Position::alibi}, true, true},
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const std::int64_t hidden = kernels::weight_size(params, "hidden", p.dim_qk);
    const auto work = kernels::predictive_window_work(p, params.integer("window"), hidden, threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.float64_flops = work.float64_flops;
    cost.float64_exps = work.float64_exps;
    cost.min_bytes = compulsory_bytes(p) + 4 * static_cast<double>(hidden * (p.dim_qk + 1));
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    const std::int64_t hidden =
        kernels::weight_size(params, "hidden", p.dim_qk, given, {{"Wp", 0, 2}, {"vp", 0, 1}});
    return kernels::complete_weights(
        "local-p",
        {{"Wp", {hidden, p.dim_qk}, "[d_a, D]", p.dim_qk}, {"vp", {hidden}, "[d_a]", hidden}},
        std::move(given), seed);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet& aux) const override {
    return kernels::with_placed_rows(
        problem, std::make_unique<LocalPPlan>(problem, params.integer("window"), aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

double position_of(const AuxSet& aux, const double* q, std::int64_t dim, std::int64_t keys) {
  const AuxTensor &w = aux.at("Wp"), &v = aux.at("vp");
  const auto hidden = product64(w.values.data(), w.shape[0], dim, q);
  double z = 0;
  for (std::size_t a = 0; a < hidden.size(); ++a) {
    z += static_cast<double>(v.values[a]) * std::tanh(hidden[a]);
  }
  return static_cast<double>(keys) / (1 + std::exp(-z));
}

ReferenceRows LocalP::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const auto window = static_cast<double>(request.params.integer("window"));
  const double sigma = window / 2;
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    const double position = position_of(request.aux, placed.query(), p.dim_qk, p.seq_k);
    // A position at exactly the window's end (p = Nk / 2 for q = 0) is decided: it is inside.
    bool decided = true;
    std::vector<double> logits(static_cast<std::size_t>(p.key_length(row.batch)), -INFINITY);
    for (std::size_t s = 0; s < logits.size(); ++s) {
      const auto key = static_cast<std::int64_t>(s);
      if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
      const double beyond = std::abs(static_cast<double>(s) - position) - window;
      if (beyond != 0 && std::abs(beyond) < 1e-9 * static_cast<double>(p.seq_k)) decided = false;
      if (beyond > 0) continue;
      logits[s] = finished_logit(p, row, key, dot64(placed.query(), placed.key(key), p.dim_qk));
    }
    auto weights = softmax_with_sink(p, row, logits);
    for (std::size_t s = 0; s < weights.size(); ++s) {
      const double distance = static_cast<double>(s) - position;
      weights[s] *= std::exp(-distance * distance / (2 * sigma * sigma));
    }
    append_weighted_values(p, request.inputs, row, weights, result.values);
    result.undecided.push_back(!decided);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::LocalP)
