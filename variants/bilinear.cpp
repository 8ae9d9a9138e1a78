// bilinear: softmax attention on a learned bilinear score.
//
//   O = softmax(Q W K^T + mask) V,  score(q, k) = q^T W k, unscaled
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], W [D, D] (shared by all heads),
// O [B, Hq, Nq, Dv].
// Another function than softmax attention, equal to it for W = I/sqrt(D). Q W is computed once, in
// the workspace, and K is read as it is. Time grows as N^2, workspace as N.
// Source: Luong, Pham, Manning 2015, "Effective Approaches to Attention-based Neural Machine
// Translation", arXiv 1508.04025, section 3.1 (score "general").
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/projection.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

kernels::WindowPattern pattern_of(const Problem& p) {
  return {kernels::WindowPattern::kUnlimited, p.causal ? 0 : kernels::WindowPattern::kUnlimited,
          p.diagonal(), p.seq_k, p.key_lengths};
}

std::size_t query_floats(const Problem& p) {
  return static_cast<std::size_t>(p.batch * p.heads_q * p.seq_q * p.dim_qk);
}

class BilinearPlan final : public Plan {
 public:
  BilinearPlan(const Problem& problem, const AuxTensor& w)
      : problem_(problem),
        terms_(problem),
        pattern_(pattern_of(problem)),
        w_(w.values.data(), problem.dim_qk, problem.dim_qk) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    const std::array<std::int64_t, 4> shape{p.batch, p.heads_q, p.seq_q, p.dim_qk};
    const TensorView projected{workspace.take(query_floats(p)), shape,
                               layout_strides(shape, Layout::bhnd)};
    const kernels::RowProjection projection[] = {{inputs.q, projected, w_, {}}};
    kernels::project_rows(projection, executor);
    const kernels::KeySource sources[] = {{inputs.k, inputs.v}};
    kernels::tiled_softmax({p, 1.0, sources, pattern_, projected, output, nullptr, terms_.if_any()},
                           workspace, executor);
  }

 private:
  Problem problem_;
  kernels::LogitTerms terms_;
  kernels::WindowPattern pattern_;
  kernels::PackedWeights w_;
};

/// Logits of independent unit-variance inputs then have unit variance too.
AuxTensor draw_w(std::int64_t dim, std::uint64_t seed) {
  const CounterRng rng(seed, "W");
  AuxTensor w{{dim, dim}, {}, {}, false};
  for (std::int64_t at = 0; at < dim * dim; ++at) {
    w.values.push_back(
        static_cast<float>(rng.normal(static_cast<std::uint64_t>(at)) / static_cast<double>(dim)));
  }
  return w;
}

class Bilinear final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "bilinear",
        .family = "score",
        .summary = "softmax over a learned bilinear score q^T W k (Luong's general score)",
        .formula = "O = softmax(Q W K^T + mask) V",
        .source =
            "Luong, Pham, Manning 2015, Effective Approaches to Attention-based Neural Machine "
            "Translation, arXiv 1508.04025, section 3.1",
        .exactness = Exactness::different,
        .laws = {"N^2", "N"},
        .params = {},
        .aux = {{"W", "[D, D]", "score matrix; drawn as independent normal values over D"}},
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

  Cost cost(const Problem& p, const ParamValues&, int threads) const override {
    Cost cost = kernels::tiled_plan_cost(p, pattern_of(p), threads);
    const auto d = [](std::int64_t x) { return static_cast<double>(x); };
    cost.performed_flops += 2 * d(p.batch * p.heads_q) * d(p.seq_q) * d(p.dim_qk) * d(p.dim_qk);
    cost.min_bytes += 4 * d(p.dim_qk) * d(p.dim_qk);
    cost.traffic_bytes = cost.min_bytes;
    cost.workspace_bytes += workspace_take_bytes(query_floats(p));
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues&, AuxSet given,
                              std::uint64_t seed) const override {
    for (const auto& [name, tensor] : given) {
      if (name != "W") {
        return usage_error("bilinear has the auxiliary tensor W, '" + name + "' was given");
      }
      if (tensor.is_integer || tensor.shape != std::vector<std::int64_t>{p.dim_qk, p.dim_qk}) {
        return usage_error(
            fmt::format("bilinear: W has shape {}, accepted is floating point [D, D] = [{}, {}]",
                        shape_text(tensor.shape), p.dim_qk, p.dim_qk));
      }
    }
    if (given.empty()) given["W"] = draw_w(p.dim_qk, seed);
    return given;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet& aux) const override {
    return kernels::with_placed_rows(problem, std::make_unique<BilinearPlan>(problem, aux.at("W")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

/// q^T W, in float64.
std::vector<double> times_w(const double* q, const AuxTensor& w) {
  const std::int64_t dim = w.shape[0];
  std::vector<double> product(static_cast<std::size_t>(dim), 0.0);
  for (std::int64_t a = 0; a < dim; ++a) {
    for (std::int64_t c = 0; c < dim; ++c) {
      product[static_cast<std::size_t>(c)] +=
          q[a] * static_cast<double>(w.values[static_cast<std::size_t>(a * dim + c)]);
    }
  }
  return product;
}

ReferenceRows Bilinear::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const AuxTensor& w = request.aux.at("W");
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    const std::vector<double> qw = times_w(placed.query(), w);
    std::vector<double> logits(static_cast<std::size_t>(p.seq_k), -INFINITY);
    for (std::int64_t j = 0; j < p.seq_k; ++j) {
      if (!mask_allows(p, row.batch, row.head, row.query, j)) continue;
      logits[static_cast<std::size_t>(j)] =
          finished_logit(p, row, j, dot64(qw.data(), placed.key(j), p.dim_qk));
    }
    append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                           result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Bilinear)
