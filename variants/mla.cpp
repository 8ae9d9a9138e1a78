// mla: multi-head latent attention, the whole layer, with its compressed keys and values.
//
//   c_j = x_j W_DKV,  k_j,h = [c_j W_UK_h ; RoPE_j(x_j W_KR)],  v_j,h = c_j W_UV_h
//   q_i,h = [z_i W_UQ_h ; RoPE_i(z_i W_QR_h)],  z_i = x_i W_DQ (or x_i: then W_Q for W_UQ)
//   y_i = concat_h(sum_j softmax_j(scale q_i,h . k_j,h) v_j,h) W_O,  scale 1/sqrt(D + d_r)
//
// The layer's input is q: [B, H, N, D] is read as rows x [B, N, d_model] with the heads side by
// side, d_model = H D, and the output is cut into heads in the same way; k and v are not read. A q
// of one head is a row tensor [B, 1, N, d_model] as it is, cut by the parameters heads and
// head-dim. Per token only c_j (d_c numbers) and the rotated x_j W_KR (d_r) have to be cached. In
// mode decode the earlier tokens' are the auxiliary tensors cache_c and cache_kr, and the new
// token's are appended. Another function than attention on Q, K and V. Two executions of the same
// function: decompressed writes out K and V of every head; absorbed attends to the latents
// themselves, with W_UK moved to the query and W_UV behind the mean, which costs more FLOP per pair
// and reads H times less. Time grows as N^2, workspace as N. Source: DeepSeek-AI 2024,
// "DeepSeek-V2", arXiv 2405.04434, section 2.1 and appendix C, without the normalisation of the
// latents.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "attention/rotation.h"
#include "attention/score_reference.h"
#include "attention/weight_matrices.h"
#include "kernels/head_rows.h"
#include "kernels/latent_attention.h"

namespace attnbench {
namespace {

using kernels::LatentSizes;

constexpr std::int64_t kDefaultHeads = 8;

LatentSizes sizes_of(const Problem& p, const ParamValues& params) {
  const auto value = [&](const char* name, std::int64_t automatic) {
    return params.is_auto(name) ? automatic : params.integer(name);
  };
  LatentSizes s;
  if (p.heads_q == 1) {
    s.width = s.width_out = p.dim_qk;
    s.heads = value("heads", kDefaultHeads);
    s.dim = s.dim_v = value("head-dim", s.width / s.heads);
  } else {
    s.heads = p.heads_q;
    s.dim = p.dim_qk;
    s.dim_v = p.dim_v;
    s.width = s.heads * s.dim;
    s.width_out = s.heads * s.dim_v;
  }
  s.kv_rank = value("kv-rank", 4 * s.dim);
  s.rope_dim = value("rope-dim", s.dim / 4 * 2);
  s.q_rank = value("q-rank", 0);
  const std::string& execution = params.text("execution");
  s.absorbed = execution == "absorbed" || (execution == "auto" && p.mode == Mode::decode);
  return s;
}

double scale_of(const Problem& p, const LatentSizes& s) {
  return p.scale ? *p.scale : 1 / std::sqrt(static_cast<double>(s.key_width()));
}

std::vector<WeightShape> weight_shapes(const LatentSizes& s) {
  std::vector<WeightShape> shapes;
  if (s.q_rank > 0) shapes.push_back({"W_DQ", s.width, s.q_rank});
  shapes.push_back({s.q_rank > 0 ? "W_UQ" : "W_Q", s.query_input(), s.heads * s.dim});
  shapes.push_back({"W_DKV", s.width, s.kv_rank});
  shapes.push_back({"W_UK", s.kv_rank, s.heads * s.dim});
  shapes.push_back({"W_UV", s.kv_rank, s.heads * s.dim_v});
  shapes.push_back({"W_O", s.heads * s.dim_v, s.width_out});
  if (s.rope_dim > 0) {
    shapes.push_back({"W_QR", s.query_input(), s.heads * s.rope_dim});
    shapes.push_back({"W_KR", s.width, s.rope_dim});
  }
  return shapes;
}

class MlaPlan final : public Plan {
 public:
  MlaPlan(const Problem& problem, const LatentSizes& sizes, const AuxSet& aux)
      : problem_(problem), aux_(aux), layer_(problem, sizes, weights(), scale_of(problem, sizes)) {
    if (problem.diagonal() == 0) return;
    const auto keys = aux_.find("cache_kr");
    layer_.fill_cache(aux_.at("cache_c").values,
                      keys == aux_.end() ? std::span<const float>() : keys->second.values);
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Layout layout = problem_.layout;
    const ConstTensorView x = kernels::gather_rows(inputs.q, layout, {}, workspace, executor);
    const TensorView y = kernels::rows_to_scatter(output, layout, workspace);
    layer_.run(x, y, workspace, executor);
    kernels::scatter_rows(y, output, layout, executor);
  }

 private:
  kernels::LatentWeights weights() const {
    const auto data = [&](const char* name) {
      const auto found = aux_.find(name);
      return found == aux_.end() ? nullptr : found->second.values.data();
    };
    const float* uq = aux_.contains("W_UQ") ? data("W_UQ") : data("W_Q");
    return {data("W_DQ"), uq,           data("W_QR"), data("W_DKV"),
            data("W_KR"), data("W_UK"), data("W_UV"), data("W_O")};
  }

  Problem problem_;
  AuxSet aux_;
  kernels::LatentAttention layer_;
};

/// Sizes that given matrices imply, where they are auto.
void sizes_from_weights(const AuxSet& given, ParamValues& params) {
  const auto fix = [&](const char* param, const char* name, std::size_t axis) {
    const auto found = given.find(name);
    if (!params.is_auto(param) || found == given.end() || found->second.shape.size() <= axis)
      return;
    params.set(param, std::to_string(found->second.shape[axis]));
  };
  fix("kv-rank", "W_DKV", 1);
  fix("kv-rank", "W_UK", 0);
  fix("kv-rank", "W_UV", 0);
  fix("kv-rank", "cache_c", 2);
  fix("rope-dim", "W_KR", 1);
  fix("rope-dim", "cache_kr", 2);
  fix("q-rank", "W_DQ", 1);
}

/// Takes the cache's tensor out of `given`, or draws it: standard normal values.
Result<AuxTensor> cache_tensor(AuxSet& given, const char* name,
                               const std::vector<std::int64_t>& shape, std::uint64_t seed) {
  if (const auto found = given.find(name); found != given.end()) {
    AuxTensor tensor = std::move(found->second);
    given.erase(found);
    if (!tensor.is_integer && tensor.shape == shape) return tensor;
    return usage_error(fmt::format("mla: {} has shape {}, accepted is floating point {}", name,
                                   shape_text(tensor.shape), shape_text(shape)));
  }
  AuxTensor tensor{shape, {}, {}, false};
  const CounterRng rng(seed, name);
  for (std::int64_t at = 0; at < tensor.elements(); ++at) {
    tensor.values.push_back(static_cast<float>(rng.normal(static_cast<std::uint64_t>(at))));
  }
  return tensor;
}

class Mla final : public Variant {
 public:
  const VariantInfo& info() const override;
  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues& params) const override;
  Cost cost(const Problem& p, const ParamValues& params, int threads) const override;
  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override;
  Result<std::unique_ptr<Plan>> prepare(const Problem& p, const ParamValues& params,
                                        const AuxSet& aux) const override {
    return std::unique_ptr<Plan>(std::make_unique<MlaPlan>(p, sizes_of(p, params), aux));
  }
  ReferenceRows reference(const ReferenceRequest& request) const override;
};

const VariantInfo& Mla::info() const {
  const auto integer = [](const char* name, int minimum, const char* meaning) {
    return ParamSpec{.name = name,
                     .type = ParamSpec::Type::integer,
                     .default_text = "auto",
                     .minimum = minimum,
                     .maximum = 1 << 20,
                     .choices = {},
                     .meaning = meaning,
                     .accepts_auto = true};
  };
  static const VariantInfo info{
      .name = "mla",
      .family = "layer",
      .summary = "multi-head latent attention: the layer over low-rank keys and values",
      .formula =
          "c = x W_DKV, k_h = [c W_UK_h ; RoPE(x W_KR)], v_h = c W_UV_h, "
          "q_h = [z W_UQ_h ; RoPE(z W_QR_h)] with z = x W_DQ (or z = x, and W_Q for W_UQ)\n"
          "Y = concat_h(softmax(scale q_h k_h^T + mask) v_h) W_O;  scale = 1/sqrt(D + d_r)",
      .source =
          "DeepSeek-AI 2024, DeepSeek-V2, arXiv 2405.04434, section 2.1 and appendix C, without "
          "the normalisation of the latents",
      .exactness = Exactness::different,
      .laws = {"N^2", "N"},
      .params =
          {integer("heads", 1, "H; auto is the problem's, and 8 for rows [B, 1, N, d_model]"),
           integer("head-dim", 1, "D; auto is the problem's, and d_model / heads for rows"),
           integer("kv-rank", 1,
                   "d_c, numbers of a latent; auto is 4 D, or what given weights have"),
           integer("rope-dim", 0,
                   "d_r, even, rotated numbers that all heads share; auto is D/2, or what given "
                   "weights have"),
           integer("q-rank", 0,
                   "d_c', numbers of a compressed query, 0 for none; auto is 0, or what W_DQ has"),
           {.name = "execution",
            .type = ParamSpec::Type::choice,
            .default_text = "auto",
            .minimum = std::nullopt,
            .maximum = std::nullopt,
            .choices = {"auto", "decompressed", "absorbed"},
            .meaning = "the same function; auto is absorbed in mode decode, else decompressed"}},
      .aux = {{"W_DQ", "[d_model, d_c']",
               "query compression, when q-rank is not 0; like all "
               "matrices normal values of variance 1/rows"},
              {"W_UQ", "[d_c', H D]", "queries from the compressed query"},
              {"W_Q", "[d_model, H D]", "queries, when q-rank is 0"},
              {"W_QR", "[d_c' or d_model, H d_r]", "rotated part of the queries"},
              {"W_DKV", "[d_model, d_c]", "latents"},
              {"W_KR", "[d_model, d_r]", "rotated part of the keys"},
              {"W_UK", "[d_c, H D]", "keys from latents"},
              {"W_UV", "[d_c, H Dv]", "values from latents"},
              {"W_O", "[H Dv, d_model]", "output projection"},
              {"cache_c", "[B, Nk - Nq, d_c]", "earlier tokens' latents, in mode decode; normal"},
              {"cache_kr", "[B, Nk - Nq, d_r]", "earlier tokens' rotated x W_KR; normal"}},
      .has_dense_weights = false,
      .takes_mask = true,
  };
  return info;
}

std::optional<std::string> Mla::unsupported_reason(const Problem& p,
                                                   const ParamValues& params) const {
  if (p.mode == Mode::cross || (p.mode == Mode::self && p.seq_q != p.seq_k) || p.seq_q > p.seq_k) {
    return "mla is self-attention: queries and keys are the same tokens, or in mode decode the "
           "last";
  }
  if (p.heads_kv != p.heads_q) {
    return fmt::format(
        "mla has no key-value heads of its own: its cache is the latent; accepted: "
        "kv-heads = heads = {}",
        p.heads_q);
  }
  const LatentSizes s = sizes_of(p, params);
  if (s.rope_dim % 2 != 0) return fmt::format("mla: rope-dim {} is not even", s.rope_dim);
  if (p.heads_q > 1) {
    const auto fixed = [&](const char* name, std::int64_t size) {
      return params.is_auto(name) || params.integer(name) == size;
    };
    if (fixed("heads", p.heads_q) && fixed("head-dim", p.dim_qk)) return std::nullopt;
    return fmt::format(
        "mla: heads and head-dim are the problem's, {} and {}; the parameters cut a "
        "problem of one head",
        p.heads_q, p.dim_qk);
  }
  if (p.dim_v != p.dim_qk) {
    return fmt::format("mla takes and returns rows of d_model numbers: D = {} and Dv = {} differ",
                       p.dim_qk, p.dim_v);
  }
  if (params.is_auto("head-dim") && p.dim_qk % s.heads != 0) {
    return fmt::format("d_model {} is not a multiple of {} heads, and no head-dim is given",
                       p.dim_qk, s.heads);
  }
  return std::nullopt;
}

Cost Mla::cost(const Problem& p, const ParamValues& params, int threads) const {
  const LatentSizes s = sizes_of(p, params);
  const kernels::LatentWork work = kernels::latent_attention_work(p, s, threads);
  const auto gathered = [&](std::int64_t dim) {
    return workspace_take_bytes(
        kernels::gathered_floats({p.batch, p.heads_q, p.seq_q, dim}, p.layout));
  };
  Cost cost;
  cost.performed_flops = work.flops;
  cost.attention_flops = work.attention_flops;
  cost.exp_count = work.exps;
  const auto rows = static_cast<double>(p.batch * p.seq_q);
  cost.min_bytes = 4 * (rows * static_cast<double>(s.width + s.width_out) + work.cache_floats +
                        work.weight_floats) +
                   (p.mask == nullptr ? 0.0 : p.mask->stored_bytes());
  cost.traffic_bytes = cost.min_bytes + 8 * work.intermediate_floats;
  cost.workspace_bytes = work.workspace_bytes + gathered(p.dim_qk) + gathered(p.dim_v);
  return cost;
}

Result<AuxSet> Mla::complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                                 std::uint64_t seed) const {
  sizes_from_weights(given, params);
  if (auto reason = unsupported_reason(p, params)) return unsupported_error(*reason);
  const LatentSizes s = sizes_of(p, params);
  AuxSet cache;
  if (const std::int64_t past = p.diagonal(); past > 0) {
    auto latents = cache_tensor(given, "cache_c", {p.batch, past, s.kv_rank}, seed);
    if (!latents) return latents.error();
    cache["cache_c"] = std::move(*latents);
    if (s.rope_dim > 0) {
      auto keys = cache_tensor(given, "cache_kr", {p.batch, past, s.rope_dim}, seed);
      if (!keys) return keys.error();
      cache["cache_kr"] = std::move(*keys);
    }
  }
  auto weights =
      complete_weights("mla", weight_shapes(s),
                       fmt::format("{} heads of {}, d_model {}, kv-rank {}, rope-dim {}, q-rank {}",
                                   s.heads, s.dim, s.width, s.kv_rank, s.rope_dim, s.q_rank),
                       std::move(given), seed);
  if (!weights) return weights.error();
  weights->merge(cache);
  return weights;
}

using Row = std::vector<double>;

/// The layer in float64, one batch row after the other.
class MlaReference {
 public:
  MlaReference(const ReferenceRequest& request, const LatentSizes& sizes)
      : request_(request), p_(request.problem), s_(sizes), scale_(scale_of(p_, sizes)) {}

  /// Row `at` of the output, all heads side by side before W_O.
  Row context(const RowIndex& at) {
    if (at.batch != batch_) prepare(at.batch);
    const Row x = token(at.query);
    const Row z = s_.q_rank > 0 ? row_times64(x, w("W_DQ")) : x;
    Row context;
    for (std::int64_t h = 0; h < s_.heads; ++h) {
      const Row out = head(at, z, h);
      context.insert(context.end(), out.begin(), out.end());
    }
    return context;
  }

 private:
  const AuxTensor& w(const char* name) const { return request_.aux.at(name); }

  /// x of new token n.
  Row token(std::int64_t n) const {
    Row x;
    const ConstTensorView q = request_.inputs.q;
    for (std::int64_t h = 0; h < q.shape[1]; ++h) {
      x.insert(x.end(), q.row(batch_, h, n), q.row(batch_, h, n) + q.shape[3]);
    }
    return x;
  }

  Row cached(const char* name, std::int64_t j) const {
    const AuxTensor& cache = w(name);
    const std::int64_t width = cache.shape[2];
    const float* row = cache.values.data() + (batch_ * p_.diagonal() + j) * width;
    return {row, row + width};
  }

  /// Latents and rotated keys of every token that may be read.
  void prepare(std::int64_t b) {
    batch_ = b;
    latents_.clear();
    rotary_keys_.clear();
    for (std::int64_t j = 0; j < p_.key_length(b); ++j) {
      const bool past = j < p_.diagonal();
      const Row x = past ? Row() : token(j - p_.diagonal());
      latents_.push_back(past ? cached("cache_c", j) : row_times64(x, w("W_DKV")));
      if (s_.rope_dim == 0) continue;
      rotary_keys_.push_back(past ? cached("cache_kr", j)
                                  : rotated64(row_times64(x, w("W_KR")), j));
    }
  }

  /// q . (c_j W_UK_h) is taken as (W_UK_h q) . c_j, and the mean of c_j W_UV_h as the mean of c_j
  /// times W_UV_h: the same numbers without K and V of every head.
  Row head(const RowIndex& at, const Row& z, std::int64_t h) const {
    const char* const up = s_.q_rank > 0 ? "W_UQ" : "W_Q";
    const Row q = row_times64(z, w(up), h * s_.dim, s_.dim);
    const Row direction = times_column64(w("W_UK"), h * s_.dim, q);
    Row rotary;
    if (s_.rope_dim > 0) {
      rotary = rotated64(row_times64(z, w("W_QR"), h * s_.rope_dim, s_.rope_dim),
                         at.query + p_.diagonal());
    }
    Row logits;
    for (std::size_t j = 0; j < latents_.size(); ++j) {
      const auto key = static_cast<std::int64_t>(j);
      if (!base_mask_allows(p_, at.batch, at.query, key)) break;
      double logit = dot64(direction, latents_[j]);
      if (s_.rope_dim > 0) logit += dot64(rotary, rotary_keys_[j]);
      const RowIndex pair{at.batch, h, at.query};
      const bool reads = file_mask_allows(p_, pair.batch, h, pair.query, key);
      logits.push_back(reads ? finished_logit(p_, pair, key, scale_ * logit) : -INFINITY);
    }
    const Row weights = softmax64(logits);
    Row mean(static_cast<std::size_t>(s_.kv_rank), 0.0);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += weights[j] * latents_[j][c];
    }
    return row_times64(mean, w("W_UV"), h * s_.dim_v, s_.dim_v);
  }

  const ReferenceRequest& request_;
  const Problem& p_;
  LatentSizes s_;
  double scale_;
  std::int64_t batch_ = -1;
  std::vector<Row> latents_, rotary_keys_;
};

ReferenceRows Mla::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  MlaReference layer(request, sizes_of(p, request.params));
  ReferenceRows result;
  for (const RowIndex& row : request.rows) {
    // The row asked for is one head's part of Y.
    const Row y =
        row_times64(layer.context(row), request.aux.at("W_O"), row.head * p.dim_v, p.dim_v);
    result.values.insert(result.values.end(), y.begin(), y.end());
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Mla)
