// mlp: softmax attention whose score is a two-layer network.
//
//   s_ij = w3 . tanh(W2 tanh(W1 [q_i; k_j] + b1) + b2),   O_i = sum_j softmax_j(s_ij) v_j
//
// Unscaled. Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], W1 [d1, 2D] (the first
// D columns take q), b1 [d1], W2 [d2, d1], b2 and w3 [d2], shared by all heads, O [B, Hq, Nq, Dv].
// Another function than softmax attention. W1 = [Wq Wk] is split, so that the first layer is
// projected once per query and once per key; the second is a d2 x d1 product for every pair. Time
// grows as N^2, workspace (Wk k for every key) as N. FLOPs count the rational form of tanh, see
// kernels/scored_softmax.h.
// Source: Galassi, Lippi, Torroni 2021, "Attention in Natural Language Processing", IEEE TNNLS 32
// (10), DOI 10.1109/TNNLS.2020.3019893 (the "deep" compatibility function); one layer more than
// Bahdanau, Cho, Bengio 2015, arXiv 1409.0473, appendix A.1.2.
#include <cmath>

#include "attention/registry.h"
#include "attention/score_reference.h"
#include "kernels/placed_rows.h"
#include "kernels/scored_softmax.h"
#include "kernels/scored_softmax_weights.h"

namespace attnbench {
namespace {

class MlpPlan final : public Plan {
 public:
  MlpPlan(const Problem& problem, const AuxSet& aux)
      : problem_(problem),
        score_(kernels::pack_two_layer_score(
            problem.dim_qk, aux.at("b1").shape[0], aux.at("b2").shape[0],
            {aux.at("W1").values.data(), 2 * problem.dim_qk},
            {aux.at("W1").values.data() + problem.dim_qk, 2 * problem.dim_qk},
            aux.at("b1").values.data(), aux.at("W2").values.data(), aux.at("b2").values.data(),
            aux.at("w3").values.data())) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::pair_score_softmax(problem_, score_, inputs, output, workspace, executor);
  }

 private:
  Problem problem_;
  kernels::PairScore score_;
};

class Mlp final : public Variant {
 public:
  const VariantInfo& info() const override {
    const auto width = [](const char* name, const char* meaning) {
      return ParamSpec{.name = name,
                       .type = ParamSpec::Type::integer,
                       .default_text = "auto",
                       .minimum = 1,
                       .maximum = 1 << 16,
                       .choices = {},
                       .meaning = meaning,
                       .accepts_auto = true};
    };
    static const VariantInfo info{
        .name = "mlp",
        .family = "score",
        .summary = "score by a two-layer network on query and key",
        .formula =
            "s_ij = w3.tanh(W2 tanh(W1 [q_i; k_j] + b1) + b2);  O_i = sum_j softmax(s_ij) v_j",
        .source =
            "Galassi, Lippi, Torroni 2021, Attention in Natural Language Processing, IEEE TNNLS "
            "32 (10), the deep compatibility function; Bahdanau, Cho, Bengio 2015, arXiv "
            "1409.0473, appendix A.1.2, with one hidden layer",
        .exactness = Exactness::different,
        .laws = {"N^2", "N"},
        .params = {width("d1", "units of the first layer; auto is D; given weights fix it"),
                   width("d2", "units of the second layer; auto is D; given weights fix it")},
        .aux = {{"W1", "[d1, 2D]", "first layer on [q; k]; normal, variance 1/(2D)"},
                {"b1", "[d1]", "its bias; 0 when not given"},
                {"W2", "[d2, d1]", "second layer; normal, variance 1/d1"},
                {"b2", "[d2]", "its bias; 0 when not given"},
                {"w3", "[d2]", "weights of the second layer's units; normal, variance 1/d2"}},
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
    const std::int64_t d1 = kernels::weight_size(params, "d1", p.dim_qk);
    const std::int64_t d2 = kernels::weight_size(params, "d2", p.dim_qk);
    const kernels::PairScoreWork work = kernels::pair_score_work(p, d1, d2, threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.min_bytes =
        compulsory_bytes(p) + 4 * static_cast<double>(d1 * (2 * p.dim_qk + 1) + d2 * (d1 + 2));
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    kernels::add_placed_rows_cost(p, cost);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    const std::int64_t d1 = kernels::weight_size(params, "d1", p.dim_qk, given,
                                                 {{"W1", 0, 2}, {"W2", 1, 2}, {"b1", 0, 1}});
    const std::int64_t d2 = kernels::weight_size(params, "d2", p.dim_qk, given,
                                                 {{"W2", 0, 2}, {"w3", 0, 1}, {"b2", 0, 1}});
    return kernels::complete_weights("mlp",
                                     {{"W1", {d1, 2 * p.dim_qk}, "[d1, 2D]", 2 * p.dim_qk},
                                      {"b1", {d1}, "[d1]", 0},
                                      {"W2", {d2, d1}, "[d2, d1]", d1},
                                      {"b2", {d2}, "[d2]", 0},
                                      {"w3", {d2}, "[d2]", d2}},
                                     std::move(given), seed);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet& aux) const override {
    return kernels::with_placed_rows(problem, std::make_unique<MlpPlan>(problem, aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

std::vector<double> as_double(const AuxTensor& tensor) {
  return {tensor.values.begin(), tensor.values.end()};
}

/// Within 3e-16 of std::tanh, at a third of its time: a pair takes d1 + d2 of them.
double tanh64(double x) { return 1 - 2 / (1 + std::exp(2 * x)); }

/// The network in float64, layer by layer. W2 is transposed so that the sum over the first layer's
/// units runs outside: the inner loop is then one that a compiler can vectorise.
class Network {
 public:
  explicit Network(const AuxSet& aux)
      : b1_(as_double(aux.at("b1"))), b2_(as_double(aux.at("b2"))), w3_(as_double(aux.at("w3"))) {
    const std::vector<double> w2 = as_double(aux.at("W2"));
    for (std::size_t a = 0; a < b1_.size(); ++a) {
      for (std::size_t r = 0; r < b2_.size(); ++r) w2_t_.push_back(w2[r * b1_.size() + a]);
    }
  }

  /// `q_part` and `k_part` are the two halves of W1 times q and k.
  double score(const std::vector<double>& q_part, const std::vector<double>& k_part) const {
    std::vector<double> second = b2_;
    for (std::size_t a = 0; a < b1_.size(); ++a) {
      const double first = tanh64(q_part[a] + k_part[a] + b1_[a]);
      const double* w = w2_t_.data() + a * second.size();
      for (std::size_t r = 0; r < second.size(); ++r) second[r] += w[r] * first;
    }
    double sum = 0;
    for (std::size_t r = 0; r < second.size(); ++r) sum += w3_[r] * tanh64(second[r]);
    return sum;
  }

 private:
  std::vector<double> b1_, w2_t_, b2_, w3_;
};

/// W1's columns [from, from + D) times x.
std::vector<double> half_of_first(const AuxTensor& w1, const double* x, std::int64_t from) {
  const std::int64_t dim = w1.shape[1] / 2;
  std::vector<double> part;
  for (std::int64_t a = 0; a < w1.shape[0]; ++a) {
    part.push_back(dot64(w1.values.data() + a * 2 * dim + from, x, dim));
  }
  return part;
}

ReferenceRows Mlp::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const AuxTensor& w1 = request.aux.at("W1");
  const Network network(request.aux);
  ReferenceRows result;
  PlacedInputs placed(p, request.inputs);
  std::vector<std::vector<double>> keys;  // The keys' halves of the current head.
  for (const RowIndex& row : request.rows) {
    placed.start_row(row);
    if (placed.is_new_head()) {
      keys.clear();
      for (std::int64_t j = 0; j < p.key_length(row.batch); ++j) {
        keys.push_back(half_of_first(w1, placed.key(j), p.dim_qk));
      }
    }
    const auto query = half_of_first(w1, placed.query(), 0);
    std::vector<double> logits(keys.size(), -INFINITY);
    for (std::size_t j = 0; j < logits.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!mask_allows(p, row.batch, row.head, row.query, key)) continue;
      logits[j] = finished_logit(p, row, key, network.score(query, keys[j]));
    }
    append_weighted_values(p, request.inputs, row, softmax_with_sink(p, row, logits),
                           result.values);
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Mlp)
