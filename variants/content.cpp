// content: softmax attention on the cosine of query and key, sharpened.
//
//   O = softmax(beta cos(Q, K) + mask) V,  cos(q, k) = q.k / (|q| |k|), 0 for a zero vector
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Another function than softmax attention. Rows of Q and K are divided by their lengths once, in
// the workspace. Time grows as N^2, workspace as N.
// Source: Graves, Wayne, Danihelka 2014, "Neural Turing Machines", arXiv 1410.5401, section 3.3.1,
// equations 5 and 6 (beta is their key strength).
#include <algorithm>
#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/row_transform.h"
#include "kernels/tiled_plan.h"

namespace attnbench {
namespace {

kernels::WindowPattern pattern_of(const Problem& p) {
  return {kernels::WindowPattern::kUnlimited, p.causal ? 0 : kernels::WindowPattern::kUnlimited,
          p.diagonal(), p.seq_k, p.key_lengths};
}

std::array<std::int64_t, 4> query_shape(const Problem& p) {
  return {p.batch, p.heads_q, p.seq_q, p.dim_qk};
}

std::array<std::int64_t, 4> key_shape(const Problem& p) {
  return {p.batch, p.heads_kv, p.seq_k, p.dim_qk};
}

std::size_t floats(const std::array<std::int64_t, 4>& shape) {
  return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
}

class ContentPlan final : public Plan {
 public:
  ContentPlan(const Problem& problem, double sharpness)
      : problem_(problem), terms_(problem), sharpness_(sharpness), pattern_(pattern_of(problem)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const auto take = [&](const std::array<std::int64_t, 4>& shape) {
      return TensorView{workspace.take(floats(shape)), shape, layout_strides(shape, Layout::bhnd)};
    };
    const TensorView q = take(query_shape(problem_)), k = take(key_shape(problem_));
    const kernels::RowNormalisation rows[] = {{inputs.q, q, {}},
                                              {inputs.k, k, problem_.key_lengths}};
    kernels::normalise_rows(rows, executor);
    const kernels::KeySource sources[] = {{k, inputs.v}};
    kernels::tiled_softmax(
        {problem_, sharpness_, sources, pattern_, q, output, nullptr, terms_.if_any()}, workspace,
        executor);
  }

 private:
  Problem problem_;
  kernels::LogitTerms terms_;
  double sharpness_;
  kernels::WindowPattern pattern_;
};

class Content final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "content",
        .family = "score",
        .summary = "softmax over sharpened cosine similarity (content-based addressing)",
        .formula = "O = softmax(beta cos(Q, K) + mask) V;  cos(q, k) = q.k / (|q| |k|)",
        .source =
            "Graves, Wayne, Danihelka 2014, Neural Turing Machines, arXiv 1410.5401, section "
            "3.3.1, equations 5 and 6",
        .exactness = Exactness::different,
        .laws = {"N^2", "N"},
        .params = {{.name = "sharpness",
                    .type = ParamSpec::Type::real,
                    .default_text = "1",
                    .minimum = 0,
                    .maximum = 1e6,
                    .choices = {},
                    .meaning = "beta, factor on the cosine"}},
        .aux = {},
        .has_scale = false,
        // A rotation changes no length: cosines then tell distances.
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues&, int threads) const override {
    Cost cost = kernels::tiled_plan_cost(p, pattern_of(p), threads);
    cost.workspace_bytes +=
        workspace_take_bytes(floats(query_shape(p))) + workspace_take_bytes(floats(key_shape(p)));
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::with_placed_rows(
        problem, std::make_unique<ContentPlan>(problem, params.real("sharpness")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

double cosine(const double* a, const double* b, std::int64_t dim) {
  double product = 0, a2 = 0, b2 = 0;
  for (std::int64_t d = 0; d < dim; ++d) {
    const double x = a[d], y = b[d];
    product += x * y;
    a2 += x * x;
    b2 += y * y;
  }
  return a2 > 0 && b2 > 0 ? product / (std::sqrt(a2) * std::sqrt(b2)) : 0;
}

ReferenceRows Content::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const double beta = request.params.real("sharpness");
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    std::vector<double> logits(static_cast<std::size_t>(p.seq_k), -INFINITY);
    for (std::int64_t j = 0; j < p.seq_k; ++j) {
      if (!mask_allows(p, row.batch, row.head, row.query, j)) continue;
      logits[static_cast<std::size_t>(j)] =
          finished_logit(p, row, j, beta * cosine(placed.query(), placed.key(j), p.dim_qk));
    }
    append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                           result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Content)
