// mha: the whole multi-head attention layer, with its four projections.
//
//   Y = concat_h(softmax(scale Q_h K_h^T + mask) V_h) Wo,  Q = X Wq,  K = X' Wk,  V = X'' Wv
//
// Shapes: X as q [B, 1, Nq, d_model], X' and X'' as k and v [B, 1, Nk, d_model] (three times the
// same tensor for self-attention), Wq [d_model, H D], Wk and Wv [d_model, Hkv D], Wo [H D,
// d_model], Y [B, 1, Nq, d_model]. Head h is columns h D to (h + 1) D; scale 1/sqrt(D).
// Another function than attention on Q, K and V: what a layer costs, to see attention's share in
// it. Time grows as N^2 (as N while N is well below d_model), workspace (Q, K, V and the heads'
// outputs) as N.
// Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762, section 3.2.2; fewer
// key-value heads: Ainslie et al. 2023, "GQA", arXiv 2305.13245, section 2.2.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "kernels/projection.h"
#include "kernels/tiled_softmax.h"

namespace attnbench {
namespace {

/// Sizes of the layer.
struct Layer {
  std::int64_t width = 0;  ///< d_model
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t dim = 0;  ///< D
};

Layer layer_of(const Problem& p, const ParamValues& params) {
  Layer layer;
  layer.width = p.dim_qk;
  layer.heads = params.integer("heads");
  layer.kv_heads = params.is_auto("kv-heads") ? layer.heads : params.integer("kv-heads");
  layer.dim = params.is_auto("head-dim") ? layer.width / layer.heads : params.integer("head-dim");
  return layer;
}

/// The attention call within the layer.
Problem inner_problem(const Problem& p, const Layer& layer) {
  Problem inner = p;
  inner.heads_q = layer.heads;
  inner.heads_kv = layer.kv_heads;
  inner.dim_qk = inner.dim_v = layer.dim;
  return inner;
}

kernels::WindowPattern pattern_of(const Problem& p) {
  return {kernels::WindowPattern::kUnlimited, p.causal ? 0 : kernels::WindowPattern::kUnlimited,
          p.diagonal(), p.seq_k, p.key_lengths};
}

/// A projected tensor [B, 1, N, heads D], and the same memory as [B, heads, N, D].
struct Projected {
  TensorView rows;
  TensorView heads;
};

std::size_t projected_floats(const Problem& p, std::int64_t seq, std::int64_t heads,
                             std::int64_t dim) {
  return static_cast<std::size_t>(p.batch * seq * heads * dim);
}

Projected take_projected(const Problem& p, std::int64_t seq, std::int64_t heads, std::int64_t dim,
                         Workspace& workspace) {
  float* data = workspace.take(projected_floats(p, seq, heads, dim));
  const std::array<std::int64_t, 4> rows{p.batch, 1, seq, heads * dim};
  const std::array<std::int64_t, 4> split{p.batch, heads, seq, dim};
  return {{data, rows, layout_strides(rows, Layout::bnhd)},
          {data, split, layout_strides(split, Layout::bnhd)}};
}

class MhaPlan final : public Plan {
 public:
  MhaPlan(const Problem& problem, const Layer& layer, const AuxSet& aux)
      : problem_(problem),
        layer_(layer),
        inner_(inner_problem(problem, layer)),
        pattern_(pattern_of(inner_)),
        aux_(aux) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    const auto weights = [&](const char* name) { return aux_.at(name).values.data(); };
    const auto q = take_projected(p, p.seq_q, layer_.heads, layer_.dim, workspace);
    const auto k = take_projected(p, p.seq_k, layer_.kv_heads, layer_.dim, workspace);
    const auto v = take_projected(p, p.seq_k, layer_.kv_heads, layer_.dim, workspace);
    const auto context = take_projected(p, p.seq_q, layer_.heads, layer_.dim, workspace);
    const kernels::RowProjection in[] = {{inputs.q, q.rows, weights("Wq"), {}},
                                         {inputs.k, k.rows, weights("Wk"), p.key_lengths},
                                         {inputs.v, v.rows, weights("Wv"), p.key_lengths}};
    kernels::project_rows(in, executor);
    const kernels::KeySource sources[] = {{k.heads, v.heads}};
    kernels::tiled_softmax(
        {inner_, inner_.scale_or_default(), sources, pattern_, q.heads, context.heads}, workspace,
        executor);
    const kernels::RowProjection out[] = {{context.rows, output, weights("Wo"), {}}};
    kernels::project_rows(out, executor);
  }

 private:
  Problem problem_;
  Layer layer_;
  Problem inner_;
  kernels::WindowPattern pattern_;
  AuxSet aux_;
};

/// Name and shape of each weight matrix.
struct WeightShape {
  const char* name;
  std::int64_t in;
  std::int64_t out;
};

std::array<WeightShape, 4> weight_shapes(const Layer& layer) {
  return {{{"Wq", layer.width, layer.heads * layer.dim},
           {"Wk", layer.width, layer.kv_heads * layer.dim},
           {"Wv", layer.width, layer.kv_heads * layer.dim},
           {"Wo", layer.heads * layer.dim, layer.width}}};
}

/// Independent normal values with variance 1/in, which keeps the variance of independent inputs.
AuxTensor draw_weights(const WeightShape& shape, std::uint64_t seed) {
  const CounterRng rng(seed, shape.name);
  const double deviation = 1 / std::sqrt(static_cast<double>(shape.in));
  AuxTensor w{{shape.in, shape.out}, {}, {}, false};
  w.values.reserve(static_cast<std::size_t>(shape.in * shape.out));
  for (std::int64_t at = 0; at < shape.in * shape.out; ++at) {
    w.values.push_back(static_cast<float>(deviation * rng.normal(static_cast<std::uint64_t>(at))));
  }
  return w;
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

class Mha final : public Variant {
 public:
  const VariantInfo& info() const override;

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues& params) const override {
    if (p.heads_q != 1 || p.heads_kv != 1) {
      return "mha takes whole rows [B, 1, N, d_model]: one head of d_model numbers; its own heads "
             "are the parameter heads";
    }
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
    return std::nullopt;
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
  const auto integer = [](const char* name, const char* value, bool accepts_auto,
                          const char* meaning) {
    return ParamSpec{.name = name,
                     .type = ParamSpec::Type::integer,
                     .default_text = value,
                     .minimum = 1,
                     .maximum = 1 << 20,
                     .choices = {},
                     .meaning = meaning,
                     .accepts_auto = accepts_auto};
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
      .params = {integer("heads", "8", false, "H, query heads of the layer"),
                 integer("kv-heads", "auto", true,
                         "Hkv, key-value heads; auto is heads, or what given weights have"),
                 integer("head-dim", "auto", true,
                         "D; auto is d_model / heads, or what given weights have")},
      .aux = {{"Wq", "[d_model, H D]", "query projection; normal values of variance 1/d_model"},
              {"Wk", "[d_model, Hkv D]", "key projection; the same"},
              {"Wv", "[d_model, Hkv D]", "value projection; the same"},
              {"Wo", "[H D, d_model]", "output projection; normal values of variance 1/(H D)"}},
      .has_dense_weights = false,
  };
  return info;
}

Cost Mha::cost(const Problem& p, const ParamValues& params, int threads) const {
  const auto d = [](std::int64_t x) { return static_cast<double>(x); };
  const Layer layer = layer_of(p, params);
  const Problem inner = inner_problem(p, layer);
  const kernels::TileWork work = kernels::tiled_softmax_work(inner, pattern_of(inner), threads);
  double keys = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) keys += d(p.key_length(b));
  const double queries = d(p.batch * p.seq_q);
  const double q_width = d(layer.heads * layer.dim), kv_width = d(layer.kv_heads * layer.dim);
  Cost cost;
  cost.performed_flops =
      4 * work.pairs * d(layer.dim) + 4 * d(layer.width) * (queries * q_width + keys * kv_width);
  cost.exp_count = work.exps;
  cost.min_bytes = compulsory_bytes(p) + 8 * d(layer.width) * (q_width + kv_width);
  // Q, K, V and the heads' outputs are written and read back.
  cost.traffic_bytes = cost.min_bytes + 16 * (queries * q_width + keys * kv_width);
  const auto bytes = [&](std::int64_t seq, std::int64_t heads) {
    return workspace_take_bytes(projected_floats(p, seq, heads, layer.dim));
  };
  cost.workspace_bytes = 2 * bytes(p.seq_q, layer.heads) + 2 * bytes(p.seq_k, layer.kv_heads) +
                         kernels::tiled_softmax_workspace_bytes(inner, threads);
  return cost;
}

Result<AuxSet> Mha::complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                                 std::uint64_t seed) const {
  sizes_from_weights(given, params.integer("heads"), params);
  if (auto reason = unsupported_reason(p, params)) return unsupported_error(*reason);
  const auto shapes = weight_shapes(layer_of(p, params));
  for (const auto& [name, tensor] : given) {
    const auto shape = std::ranges::find(shapes, name, &WeightShape::name);
    if (shape == shapes.end()) {
      return usage_error("mha has the auxiliary tensors Wq, Wk, Wv and Wo, '" + name +
                         "' was given");
    }
    if (tensor.is_integer || tensor.shape != std::vector<std::int64_t>{shape->in, shape->out}) {
      return usage_error(fmt::format(
          "mha: {} has shape {}, accepted is floating point [{}, {}] with {} heads, "
          "{} key-value heads of {} and d_model {}",
          name, shape_text(tensor.shape), shape->in, shape->out, layer_of(p, params).heads,
          layer_of(p, params).kv_heads, layer_of(p, params).dim, p.dim_qk));
    }
  }
  for (const WeightShape& shape : shapes) {
    if (!given.contains(shape.name)) given[shape.name] = draw_weights(shape, seed);
  }
  return given;
}

/// x W, in float64.
std::vector<double> times(std::span<const double> x, const AuxTensor& w) {
  const auto columns = static_cast<std::size_t>(w.shape[1]);
  std::vector<double> y(columns, 0.0);
  for (std::size_t a = 0; a < x.size(); ++a) {
    for (std::size_t c = 0; c < columns; ++c) {
      y[c] += x[a] * static_cast<double>(w.values[a * columns + c]);
    }
  }
  return y;
}

std::vector<double> to_double(const float* row, std::int64_t dim) { return {row, row + dim}; }

/// One head: softmax over the readable keys of scale q.k, times v. `q` has D numbers, keys and
/// values D numbers from `column` on.
std::vector<double> head_output(std::span<const double> q, double scale, std::size_t column,
                                std::span<const std::vector<double>> keys,
                                std::span<const std::vector<double>> values) {
  std::vector<double> weights;
  for (const auto& k : keys) {
    double dot = 0;
    for (std::size_t d = 0; d < q.size(); ++d) dot += q[d] * k[column + d];
    weights.push_back(scale * dot);
  }
  const double largest = weights.empty() ? 0 : *std::ranges::max_element(weights);
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  std::vector<double> out(q.size(), 0.0);
  for (std::size_t j = 0; j < weights.size(); ++j) {
    for (std::size_t d = 0; d < q.size(); ++d) {
      out[d] += weights[j] / total * values[j][column + d];
    }
  }
  return out;
}

ReferenceRows Mha::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const Layer layer = layer_of(p, request.params);
  const double scale = p.scale ? *p.scale : 1 / std::sqrt(static_cast<double>(layer.dim));
  const auto dim = static_cast<std::size_t>(layer.dim);
  ReferenceRows result;
  std::vector<std::vector<double>> keys, values;
  std::int64_t current = -1;
  for (const RowIndex& row : request.rows) {
    if (current != row.batch) {
      current = row.batch;
      keys.clear();
      values.clear();
      for (std::int64_t j = 0; j < p.key_length(row.batch); ++j) {
        const auto x_k = to_double(request.inputs.k.row(row.batch, 0, j), p.dim_qk);
        const auto x_v = to_double(request.inputs.v.row(row.batch, 0, j), p.dim_v);
        keys.push_back(times(x_k, request.aux.at("Wk")));
        values.push_back(times(x_v, request.aux.at("Wv")));
      }
    }
    std::size_t readable = 0;
    while (readable < keys.size() &&
           base_mask_allows(p, row.batch, row.query, static_cast<std::int64_t>(readable))) {
      ++readable;
    }
    const auto x = to_double(request.inputs.q.row(row.batch, 0, row.query), p.dim_qk);
    const std::vector<double> q = times(x, request.aux.at("Wq"));
    std::vector<double> context;
    for (std::int64_t h = 0; h < layer.heads; ++h) {
      const std::span<const double> own(q.data() + static_cast<std::size_t>(h) * dim, dim);
      const auto column = static_cast<std::size_t>(h / (layer.heads / layer.kv_heads)) * dim;
      const auto out =
          head_output(own, scale, column, {keys.data(), readable}, {values.data(), readable});
      context.insert(context.end(), out.begin(), out.end());
    }
    const std::vector<double> y = times(context, request.aux.at("Wo"));
    result.values.insert(result.values.end(), y.begin(), y.end());
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Mha)
