// local-m: monotonic local attention, a Gaussian-weighted window around the query's own position.
//
//   O_i = sum over |s - p_i| <= D_w of softmax_s(q_i . k_s) exp(-(s - p_i)^2 / (2 sigma^2)) v_s
//   p_i = i + Nk - Nq,  sigma = D_w / 2      (unscaled; integer positions s from 0)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Another function than softmax attention: the softmax runs over the window, cut at both ends of
// the sequence, by key lengths, masks from files and, when causal, at the query's position; soft
// cap, ALiBi and sink are the softmax's; the Gaussian is not
// renormalised, so that a row's weights sum to less than 1. Time grows as N once N is well above
// the window, workspace not at all.
// Source: Luong, Pham, Manning 2015, "Effective Approaches to Attention-based Neural Machine
// Translation", arXiv 1508.04025, section 3.2 (local-m, with the Gaussian of equation 10, which the
// paper writes for local-p).
#include <cmath>
#include <cstdlib>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax_window.h"

namespace attnbench {
namespace {

class LocalMPlan final : public Plan {
 public:
  LocalMPlan(const Problem& problem, std::int64_t window)
      : problem_(problem), window_(window), gaussian_(problem, window) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::monotonic_window_attention(problem_, window_, gaussian_, inputs, output, workspace,
                                        executor);
  }

 private:
  Problem problem_;
  std::int64_t window_;
  kernels::GaussianTable gaussian_;
};

class LocalM final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "local-m",
        .family = "sparse",
        .summary = "Gaussian-weighted window around the query's own position (Luong)",
        .formula =
            "O_i = sum_s softmax(q_i.k_s) exp(-(s - p_i)^2 / (2 sigma^2)) v_s over |s - p_i| <= "
            "D_w;  p_i = i + Nk - Nq, sigma = D_w/2",
        .source =
            "Luong, Pham, Manning 2015, Effective Approaches to Attention-based Neural Machine "
            "Translation, arXiv 1508.04025, section 3.2",
        .exactness = Exactness::different,
        .laws = {"N", "1"},
        .params = {{.name = "window",
                    .type = ParamSpec::Type::integer,
                    .default_text = "10",
                    .minimum = 1,
                    .maximum = 1e9,
                    .choices = {},
                    .meaning = "D_w, positions on each side; sigma is half of it"}},
        .aux = {},
        .has_scale = false,
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const auto work = kernels::monotonic_window_work(p, params.integer("window"), threads);
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
    return kernels::with_placed_rows(
        problem, std::make_unique<LocalMPlan>(problem, params.integer("window")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override {
    const Problem& p = request.problem;
    const std::int64_t window = request.params.integer("window");
    const double sigma = static_cast<double>(window) / 2;
    ReferenceRows result;
    PlacedInputs placed(p, request.inputs);
    for (const RowIndex& row : request.rows) {
      const std::int64_t position = row.query + p.seq_k - p.seq_q;
      placed.start_row(row);
      std::vector<double> logits(static_cast<std::size_t>(p.key_length(row.batch)), -INFINITY);
      for (std::size_t s = 0; s < logits.size(); ++s) {
        const auto key = static_cast<std::int64_t>(s);
        if (std::abs(key - position) > window) continue;
        if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
        logits[s] = finished_logit(p, row, key, dot64(placed.query(), placed.key(key), p.dim_qk));
      }
      auto weights = softmax_with_sink(p, row, logits);
      for (std::size_t s = 0; s < weights.size(); ++s) {
        const double distance = static_cast<double>(static_cast<std::int64_t>(s) - position);
        weights[s] *= std::exp(-distance * distance / (2 * sigma * sigma));
      }
      append_weighted_values(p, request.inputs, row, weights, result.values);
    }
    return result;
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::LocalM)
