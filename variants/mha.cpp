// mha: the whole multi-head attention layer, with its four projections.
//
//   Y = concat_h(softmax(scale Q_h K_h^T + mask) V_h) Wo,  Q = X Wq,  K = X' Wk,  V = X'' Wv
//
// The layer's input is q: [B, H, N, D] is read as rows X [B, N, d_model] with the heads side by
// side, d_model = H D, and the output is cut into heads in the same way, so that the layer stands
// beside attention of the same shape in a sweep. In self-attention K and V are projected from X too
// (k and v are not read), in cross attention from the rows X' of k [B, Nk, Hkv D] and X'' of v.
// Wq [d_model, H D], Wk [d_model, Hkv D], Wv [d_model, Hkv Dv], Wo [H Dv, H Dv]; with X' and X'' as
// wide as k's and v's rows. Head h is columns h D to (h + 1) D; scale 1/sqrt(D).
// A q of one head is a row tensor [B, 1, N, d_model] as it is: the parameters heads, kv-heads and
// head-dim cut it, k and v are X' and X'' (three times the same tensor for self-attention), Wo is
// [H D, d_model].
// Positions are applied to the projected queries and keys, slopes of ALiBi and sinks are the
// layer's heads', masks from files its heads' too. Another function than attention on Q, K and V:
// what a layer costs, to see attention's share in it. Time grows as N^2 (as N while N is well below
// d_model), workspace (Q, K, V and the heads' outputs) as N. Source: Vaswani et al. 2017,
// "Attention Is All You Need", arXiv 1706.03762, section 3.2.2; fewer key-value heads: Ainslie et
// al. 2023, "GQA", arXiv 2305.13245, section 2.2.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "attention/layer_reference.h"
#include "attention/registry.h"
#include "attention/weight_matrices.h"
#include "kernels/head_rows.h"
#include "kernels/logit_terms.h"
#include "kernels/placed_rows.h"
#include "kernels/projection.h"
#include "kernels/tiled_softmax.h"

namespace attnbench {
namespace {

/// Sizes of the layer.
struct Layer {
  std::int64_t width = 0;    ///< d_model
  std::int64_t width_k = 0;  ///< of the rows that K is projected from
  std::int64_t width_v = 0;  ///< of the rows that V is projected from
  std::int64_t width_out = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t dim = 0;    ///< D
  std::int64_t dim_v = 0;  ///< Dv
  bool own_keys = false;   ///< K and V are projected from X.
};

/// A problem of one head is a layer's rows; one of several heads is cut as the layer cuts.
bool takes_rows(const Problem& p) { return p.heads_q == 1; }

constexpr std::int64_t kDefaultHeads = 8;

Layer layer_of(const Problem& p, const ParamValues& params) {
  const auto value = [&](const char* name, std::int64_t automatic) {
    return params.is_auto(name) ? automatic : params.integer(name);
  };
  Layer layer;
  if (takes_rows(p)) {
    layer.width = layer.width_k = layer.width_v = layer.width_out = p.dim_qk;
    layer.heads = value("heads", kDefaultHeads);
    layer.kv_heads = value("kv-heads", layer.heads);
    layer.dim = layer.dim_v = value("head-dim", layer.width / layer.heads);
    return layer;
  }
  layer.heads = p.heads_q;
  layer.kv_heads = p.heads_kv;
  layer.dim = p.dim_qk;
  layer.dim_v = p.dim_v;
  layer.width = layer.heads * layer.dim;
  layer.width_out = layer.heads * layer.dim_v;
  layer.own_keys = p.mode == Mode::self;
  layer.width_k = layer.own_keys ? layer.width : layer.kv_heads * layer.dim;
  layer.width_v = layer.own_keys ? layer.width : layer.kv_heads * layer.dim_v;
  return layer;
}

/// The attention call within the layer.
Problem inner_problem(const Problem& p, const Layer& layer) {
  Problem inner = p;
  inner.heads_q = layer.heads;
  inner.heads_kv = layer.kv_heads;
  inner.dim_qk = layer.dim;
  inner.dim_v = layer.dim_v;
  return inner;
}

kernels::WindowPattern pattern_of(const Problem& p) {
  return {kernels::WindowPattern::kUnlimited, p.causal ? 0 : kernels::WindowPattern::kUnlimited,
          p.diagonal(), p.seq_k, p.key_lengths};
}

/// Workspace of a projected tensor [B, 1, seq, width].
std::size_t projected_floats(const Problem& p, std::int64_t seq, std::int64_t width) {
  return static_cast<std::size_t>(p.batch * seq * width);
}

class MhaPlan final : public Plan {
 public:
  MhaPlan(const Problem& problem, const Layer& layer, const AuxSet& aux)
      : problem_(problem),
        layer_(layer),
        inner_(inner_problem(problem, layer)),
        terms_(inner_),
        pattern_(pattern_of(inner_)),
        wq_(packed(aux.at("Wq"))),
        wk_(packed(aux.at("Wk"))),
        wv_(packed(aux.at("Wv"))),
        wo_(packed(aux.at("Wo"))) {
    if (inner_.places_queries()) placer_.emplace(inner_);
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    const Layer& l = layer_;
    const auto take = [&](std::int64_t seq, std::int64_t width) {
      return kernels::row_tensor(workspace.take(projected_floats(p, seq, width)), p.batch, seq,
                                 width);
    };
    const TensorView q = take(p.seq_q, l.heads * l.dim);
    const TensorView k = take(p.seq_k, l.kv_heads * l.dim);
    const TensorView v = take(p.seq_k, l.kv_heads * l.dim_v);
    const TensorView context = take(p.seq_q, l.heads * l.dim_v);
    const auto rows = [&](ConstTensorView heads, std::span<const std::int64_t> lengths) {
      return kernels::gather_rows(heads, p.layout, lengths, workspace, executor);
    };
    const ConstTensorView x = rows(inputs.q, {});
    const ConstTensorView x_k = l.own_keys ? x : rows(inputs.k, p.key_lengths);
    const ConstTensorView x_v = l.own_keys ? x : rows(inputs.v, p.key_lengths);
    const kernels::RowProjection in[] = {
        {x, q, wq_, {}}, {x_k, k, wk_, p.key_lengths}, {x_v, v, wv_, p.key_lengths}};
    kernels::project_rows(in, executor);
    const TensorView head_q = kernels::split_heads(q, l.heads);
    const TensorView head_k = kernels::split_heads(k, l.kv_heads);
    if (placer_) placer_->place(head_q, head_q, head_k, head_k, executor);
    const kernels::KeySource sources[] = {{head_k, kernels::split_heads(v, l.kv_heads)}};
    kernels::tiled_softmax({inner_, inner_.scale_or_default(), sources, pattern_, head_q,
                            kernels::split_heads(context, l.heads), nullptr, terms_.if_any()},
                           workspace, executor);
    const TensorView y = kernels::rows_to_scatter(output, p.layout, workspace);
    const kernels::RowProjection out[] = {{context, y, wo_, {}}};
    kernels::project_rows(out, executor);
    kernels::scatter_rows(y, output, p.layout, executor);
  }

 private:
  static kernels::PackedWeights packed(const AuxTensor& w) {
    return {w.values.data(), w.shape[0], w.shape[1]};
  }

  Problem problem_;
  Layer layer_;
  Problem inner_;
  kernels::LogitTerms terms_;
  kernels::WindowPattern pattern_;
  std::optional<kernels::RowPlacer> placer_;
  kernels::PackedWeights wq_, wk_, wv_, wo_;
};

std::array<WeightShape, 4> weight_shapes(const Layer& layer) {
  return {{{"Wq", layer.width, layer.heads * layer.dim},
           {"Wk", layer.width_k, layer.kv_heads * layer.dim},
           {"Wv", layer.width_v, layer.kv_heads * layer.dim_v},
           {"Wo", layer.heads * layer.dim_v, layer.width_out}}};
}

/// Given matrices fix D (Wq or Wo) and, where it is auto, the number of key-value heads.
void sizes_from_weights(const AuxSet& given, std::int64_t heads, ParamValues& params) {
  const auto size = [&](const char* name, std::size_t axis) -> std::int64_t {
    const auto found = given.find(name);
    return found != given.end() && found->second.shape.size() == 2 ? found->second.shape[axis] : 0;
  };
  const std::int64_t all_heads = std::max(size("Wq", 1), size("Wo", 0));
  if (params.is_auto("head-dim") && all_heads >= heads && all_heads % heads == 0) {
    params.set("head-dim", std::to_string(all_heads / heads));
  }
  const std::int64_t kv_columns = std::max(size("Wk", 1), size("Wv", 1));
  if (!params.is_auto("kv-heads") || params.is_auto("head-dim") || kv_columns == 0) return;
  const std::int64_t dim = params.integer("head-dim");
  if (kv_columns % dim == 0) params.set("kv-heads", std::to_string(kv_columns / dim));
}

/// Why the problem's heads and the parameters do not go together; with several heads the problem
/// says all.
std::optional<std::string> split_refusal(const Problem& p, const ParamValues& params) {
  if (p.mode == Mode::decode) {
    return "mha projects every key: over a cache of projected keys it is flash with --mode decode";
  }
  const auto fixed = [&](const char* name, std::int64_t size) -> std::optional<std::string> {
    if (params.is_auto(name) || params.integer(name) == size) return std::nullopt;
    return fmt::format("mha: {}={}, but the problem has {}; parameters cut a problem of one head",
                       name, params.integer(name), size);
  };
  if (auto reason = fixed("heads", p.heads_q)) return reason;
  if (auto reason = fixed("kv-heads", p.heads_kv)) return reason;
  return fixed("head-dim", p.dim_qk);
}

std::optional<std::string> rows_refusal(const Problem& p, const ParamValues& params) {
  if (p.dim_v != p.dim_qk) {
    return fmt::format("mha takes and returns rows of d_model numbers: D = {} and Dv = {} differ",
                       p.dim_qk, p.dim_v);
  }
  const Layer layer = layer_of(p, params);
  if (params.is_auto("head-dim") && p.dim_qk % layer.heads != 0) {
    return fmt::format("d_model {} is not a multiple of {} heads, and no head-dim is given",
                       p.dim_qk, layer.heads);
  }
  if (layer.heads % layer.kv_heads != 0) {
    return fmt::format("heads {} is not a multiple of kv-heads {}", layer.heads, layer.kv_heads);
  }
  if (!p.sink.empty() && layer.heads != 1) {
    return fmt::format("mha takes a sink for each of its {} heads: cut Q into them", layer.heads);
  }
  if (p.position == Position::rope && layer.dim % 2 != 0) {
    return fmt::format("rope turns pairs of dimensions, and head-dim {} is odd", layer.dim);
  }
  return std::nullopt;
}

class Mha final : public Variant {
 public:
  const VariantInfo& info() const override;

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues& params) const override {
    return takes_rows(p) ? rows_refusal(p, params) : split_refusal(p, params);
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override;
  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override;

  Result<std::unique_ptr<Plan>> prepare(const Problem& p, const ParamValues& params,
                                        const AuxSet& aux) const override {
    return std::unique_ptr<Plan>(std::make_unique<MhaPlan>(p, layer_of(p, params), aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

const VariantInfo& Mha::info() const {
  const auto integer = [](const char* name, const char* meaning) {
    return ParamSpec{.name = name,
                     .type = ParamSpec::Type::integer,
                     .default_text = "auto",
                     .minimum = 1,
                     .maximum = 1 << 20,
                     .choices = {},
                     .meaning = meaning,
                     .accepts_auto = true};
  };
  static const VariantInfo info{
      .name = "mha",
      .family = "layer",
      .summary = "the whole multi-head layer: projections, attention, output projection",
      .formula =
          "Y = concat_h(softmax(scale Q_h K_h^T + mask) V_h) Wo;  Q = X Wq, K = X Wk, V = X Wv",
      .source =
          "Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3.2.2; "
          "Ainslie et al. 2023, GQA, arXiv 2305.13245, section 2.2",
      .exactness = Exactness::different,
      .laws = {"N^2", "N"},
      .params = {integer("heads",
                         "H, query heads of the layer; auto is the problem's, and 8 for "
                         "rows [B, 1, N, d_model]"),
                 integer("kv-heads",
                         "Hkv, key-value heads; auto is the problem's, and for rows "
                         "heads, or what given weights have"),
                 integer("head-dim",
                         "D; auto is the problem's, and for rows d_model / heads, or "
                         "what given weights have")},
      .aux = {{"Wq", "[d_model, H D]", "query projection; normal values of variance 1/d_model"},
              {"Wk", "[d_model, Hkv D]", "key projection; the same"},
              {"Wv", "[d_model, Hkv Dv]", "value projection; the same"},
              {"Wo", "[H Dv, d_model]", "output projection; normal values of variance 1/(H Dv)"}},
      .has_dense_weights = false,
      .takes = ScoreOptions::all(),
      .takes_mask = true,
  };
  return info;
}

Cost Mha::cost(const Problem& p, const ParamValues& params, int threads) const {
  const auto d = [](std::int64_t x) { return static_cast<double>(x); };
  const Layer l = layer_of(p, params);
  const Problem inner = inner_problem(p, l);
  const kernels::TileWork work = kernels::tiled_softmax_work(inner, pattern_of(inner), threads);
  double keys = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) keys += d(p.key_length(b));
  const double queries = d(p.batch * p.seq_q);
  const double q_width = d(l.heads * l.dim), context_width = d(l.heads * l.dim_v);
  const double k_width = d(l.kv_heads * l.dim), v_width = d(l.kv_heads * l.dim_v);
  Cost cost;
  cost.performed_flops = work.flops(l.dim, l.dim_v) +
                         2 * queries * (d(l.width) * q_width + context_width * d(l.width_out)) +
                         2 * keys * (d(l.width_k) * k_width + d(l.width_v) * v_width) +
                         kernels::placed_rows_flops(inner);
  cost.attention_flops = work.flops(l.dim, l.dim_v);
  cost.exp_count = work.exps_with(kernels::LogitTerms(inner));
  const double weights = d(l.width) * q_width + d(l.width_k) * k_width + d(l.width_v) * v_width +
                         context_width * d(l.width_out);
  const double key_inputs = l.own_keys ? 0 : keys * d(l.width_k + l.width_v);
  cost.min_bytes = 4 * (queries * d(l.width + l.width_out) + key_inputs + weights) +
                   4 * static_cast<double>(p.sink.size()) +
                   (p.mask == nullptr ? 0.0 : p.mask->stored_bytes());
  // Q, K, V and the heads' outputs are written and read back.
  cost.traffic_bytes =
      cost.min_bytes + 8 * (queries * (q_width + context_width) + keys * (k_width + v_width));
  const auto bytes = [&](std::int64_t seq, std::int64_t width) {
    return workspace_take_bytes(projected_floats(p, seq, width));
  };
  const auto gathered = [&](std::int64_t heads, std::int64_t seq, std::int64_t dim) {
    return workspace_take_bytes(kernels::gathered_floats({p.batch, heads, seq, dim}, p.layout));
  };
  cost.workspace_bytes = bytes(p.seq_q, l.heads * l.dim) + bytes(p.seq_q, l.heads * l.dim_v) +
                         bytes(p.seq_k, l.kv_heads * l.dim) + bytes(p.seq_k, l.kv_heads * l.dim_v) +
                         kernels::tiled_softmax_workspace_bytes(inner, pattern_of(inner), threads) +
                         gathered(p.heads_q, p.seq_q, p.dim_qk) +
                         gathered(p.heads_q, p.seq_q, p.dim_v);
  if (!l.own_keys) {
    cost.workspace_bytes +=
        gathered(p.heads_kv, p.seq_k, p.dim_qk) + gathered(p.heads_kv, p.seq_k, p.dim_v);
  }
  return cost;
}

Result<AuxSet> Mha::complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                                 std::uint64_t seed) const {
  if (takes_rows(p)) sizes_from_weights(given, layer_of(p, params).heads, params);
  if (auto reason = unsupported_reason(p, params)) return unsupported_error(*reason);
  const Layer l = layer_of(p, params);
  return complete_weights("mha", weight_shapes(l),
                          fmt::format("{} heads, {} key-value heads of {} and d_model {}", l.heads,
                                      l.kv_heads, l.dim, l.width),
                          std::move(given), seed);
}

ReferenceRows Mha::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const Layer l = layer_of(p, request.params);
  const Inputs& in = request.inputs;
  LayerReference layer(inner_problem(p, l),
                       {in.q, l.own_keys ? in.q : in.k, l.own_keys ? in.q : in.v}, request.aux);
  ReferenceRows result;
  std::vector<double> context;
  for (std::size_t r = 0; r < request.rows.size(); ++r) {
    const RowIndex& row = request.rows[r];
    context = layer.context(row.batch, row.query);
    // The row asked for is one head's part of Y.
    const auto y = row_times64(context, request.aux.at("Wo"), row.head * p.dim_v, p.dim_v);
    result.values.insert(result.values.end(), y.begin(), y.end());
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Mha)
