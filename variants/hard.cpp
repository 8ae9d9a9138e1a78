// hard: each query takes one value, that of its largest logit or of a sampled key.
//
//   O_i = v_a(i)
//   sample = false:  a(i) = argmax_j scale q_i . k_j, the lowest index among equals
//   sample = true:   a(i) = min {j: p_i0 + ... + p_ij > u_i},  p_i = softmax_j(scale q_i . k_j)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], u [B, Hq, Nq] in [0, 1],
// O [B, Hq, Nq, Dv]. A sampled output is softmax attention in expectation over u. A sink counts
// after the keys and has a value of zeros: a row that takes it is zero. Another function than
// softmax attention. Time grows as N^2, workspace not at all up to Nk = 4096 (beyond, sampling
// keeps Nk / 64 logits). Rows whose two best keys, or whose u and a bound of the cumulated softmax,
// are nearer than float32 can tell are undecided in the reference.
//
// Source: Xu et al. 2015, "Show, Attend and Tell", arXiv 1502.03044, section 4.1 (stochastic hard
// attention).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax_choice.h"

namespace attnbench {
namespace {

class HardPlan final : public Plan {
 public:
  HardPlan(const Problem& problem, const AuxSet& aux) : problem_(problem) {
    if (const auto u = aux.find("u"); u != aux.end()) uniform_ = u->second.values;
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const double scale = problem_.scale_or_default();
    if (uniform_.empty()) {
      kernels::argmax_attention(problem_, scale, inputs, output, workspace, executor);
    } else {
      kernels::sampled_attention(problem_, scale, uniform_.data(), inputs, output, workspace,
                                 executor);
    }
  }

 private:
  Problem problem_;
  std::vector<float> uniform_;
};

class Hard final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "hard",
        .family = "choice",
        .summary = "the value of one key: the best, or one sampled from the softmax",
        .formula =
            "O_i = v_a, a = argmax_j scale q_i.k_j; sampled: a = min {j: p_i0 + ... + p_ij > u_i}, "
            "p_i = softmax_j(scale q_i.k_j)",
        .source =
            "Xu et al. 2015, Show, Attend and Tell, arXiv 1502.03044, section 4.1 (stochastic hard "
            "attention)",
        .exactness = Exactness::different,
        .laws = {"N^2", "1"},
        .params = {{.name = "sample",
                    .type = ParamSpec::Type::boolean,
                    .default_text = "false",
                    .minimum = {},
                    .maximum = {},
                    .choices = {},
                    .meaning = "sample a key from the softmax instead of taking the largest"}},
        .aux =
            {{"u", "[B, Hq, Nq]",
              "in [0, 1], only with sample = true: picks the key by the inverse of the cumulated "
              "softmax; uniform when not given"}},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const bool sample = params.boolean("sample");
    const kernels::ChoiceWork work = sample ? kernels::sampled_attention_work(p, threads)
                                            : kernels::argmax_attention_work(p, threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.min_bytes = compulsory_bytes(p);
    if (sample) cost.min_bytes += 4 * static_cast<double>(p.batch * p.heads_q * p.seq_q);
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    const bool sample = params.boolean("sample");
    const std::vector<std::int64_t> shape{p.batch, p.heads_q, p.seq_q};
    for (const auto& [name, tensor] : given) {
      if (name != "u") {
        return usage_error("hard has the auxiliary tensor u; '" + name + "' was given");
      }
      if (!sample) return usage_error("hard: u is given, but sample is false: set sample = true");
      const bool in_range =
          std::ranges::all_of(tensor.values, [](float x) { return x >= 0 && x <= 1; });
      if (tensor.is_integer || tensor.shape != shape || !in_range) {
        return usage_error(
            fmt::format("hard: u is {} with values {} [0, 1], accepted is floating point "
                        "[B, Hq, Nq] = {} with values in [0, 1]",
                        shape_text(tensor.shape), in_range ? "in" : "outside", shape_text(shape)));
      }
    }
    if (sample && given.empty()) {
      AuxTensor u{shape, {}, {}, false};
      const CounterRng rng(seed, "u");
      for (std::int64_t i = 0; i < u.elements(); ++i) {
        u.values.push_back(static_cast<float>(rng.uniform(static_cast<std::uint64_t>(i))));
      }
      given["u"] = std::move(u);
    }
    return given;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet& aux) const override {
    return kernels::with_placed_rows(problem, std::make_unique<HardPlan>(problem, aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

/// What float32 cannot be asked to tell apart: 1e-5, and for large logits a few of their ULP.
double margin_at(double logit) { return std::max(1e-5, 1e-6 * std::abs(logit)); }

struct Choice {
  std::int64_t key = -1;  ///< -1: none, or the sink.
  bool decided = true;
};

/// A rival that ties exactly loses by its index: that is decided. The sink comes after all keys.
Choice best_key(const ReferenceRequest& request, const RowIndex& row,
                const std::vector<double>& logits) {
  Choice choice;
  const auto best = std::ranges::max_element(logits);  // The first of equals.
  if (best == logits.end() || std::isinf(*best)) return choice;
  choice.key = best - logits.begin();
  for (std::size_t j = 0; j < logits.size(); ++j) {
    if (*best - logits[j] >= margin_at(*best)) continue;
    const auto rival = static_cast<std::int64_t>(j);
    if (!ties_exactly(request.problem, request.inputs, row, rival, choice.key)) {
      choice.decided = false;
    }
  }
  if (request.problem.sink.empty()) return choice;
  const double sink = request.problem.sink[static_cast<std::size_t>(row.head)];
  if (std::abs(sink - *best) < margin_at(*best)) choice.decided = false;
  if (sink > *best) choice.key = -1;
  return choice;
}

/// What the keys' weights leave of 1 is the sink's.
Choice sampled_key(const std::vector<double>& weights, bool has_sink, double u) {
  Choice choice;
  double reached = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] == 0) continue;
    if (choice.key < 0 || reached <= u) choice.key = static_cast<std::int64_t>(j);
    reached += weights[j];
    // The bound at 1 divides no two keys, but rounding may put it on either side of u.
    if (std::abs(reached - u) < 1e-5) choice.decided = false;
  }
  if (has_sink && reached <= u) choice.key = -1;
  return choice;
}

ReferenceRows Hard::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const bool sample = request.params.boolean("sample");
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    std::vector<double> logits(static_cast<std::size_t>(p.key_length(row.batch)), -INFINITY);
    for (std::size_t j = 0; j < logits.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
      const double score = dot64(placed.query(), placed.key(key), p.dim_qk);
      logits[j] = finished_logit(p, row, key, p.scale_or_default() * score);
    }
    Choice choice;
    if (sample) {
      const auto at =
          static_cast<std::size_t>((row.batch * p.heads_q + row.head) * p.seq_q + row.query);
      choice = sampled_key(softmax_with_sink(p, row, logits), !p.sink.empty(),
                           static_cast<double>(request.aux.at("u").values[at]));
    } else {
      choice = best_key(request, row, logits);
    }
    std::vector<double> weights(logits.size(), 0.0);
    if (choice.key >= 0) weights[static_cast<std::size_t>(choice.key)] = 1;
    append_weighted_values(p, request.inputs, row, weights, result.values);
    result.undecided.push_back(!choice.decided);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Hard)
