// linformer: keys and values projected along the sequence to a fixed rank.
//
//   O = softmax(scale Q (E K)^T) (F V)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], E and F [k, Nk] (shared by all
// heads) or [Hkv, k, Nk], O [B, Hq, Nq, Dv].
// Approximates softmax attention, once E and F are trained. Time grows as N, workspace (E K and F
// V) not at all. Every output sees every key, so there is no causal form. Source: Wang, Li, Khabsa,
// Fang, Ma 2020, "Linformer: Self-Attention with Linear Complexity", arXiv 2006.04768, equation 7.
// The default projections are mean pooling (section 4, "general projections"), not random: an
// untrained random E is no approximation at all.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "attention/reference.h"
#include "attention/registry.h"
#include "kernels/compressed_keys.h"
#include "kernels/tiled_softmax.h"

namespace attnbench {
namespace {

/// The tiled engine's view: as many keys as the rank, all of them allowed.
Problem compressed_problem(const Problem& p, std::int64_t rank) {
  Problem compressed = p;
  compressed.seq_k = rank;
  compressed.causal = false;
  compressed.key_lengths.clear();
  compressed.scale = p.scale_or_default();
  return compressed;
}

kernels::WindowPattern all_keys(std::int64_t rank) {
  return {kernels::WindowPattern::kUnlimited, kernels::WindowPattern::kUnlimited, 0, rank, {}};
}

/// Row r averages the keys from floor(r n / k) to ceil((r + 1) n / k): n / k of them where k
/// divides n, overlapping segments where it does not, never none.
AuxTensor mean_pooling(std::int64_t heads, std::int64_t rank, std::int64_t keys) {
  AuxTensor e;
  if (heads > 1) e.shape.push_back(heads);
  e.shape.insert(e.shape.end(), {rank, keys});
  e.values.assign(static_cast<std::size_t>(e.elements()), 0.0F);
  for (std::int64_t row = 0; row < heads * rank; ++row) {
    const std::int64_t r = row % rank;
    const std::int64_t begin = r * keys / rank;
    const std::int64_t end = ((r + 1) * keys + rank - 1) / rank;
    std::fill(e.values.begin() + row * keys + begin, e.values.begin() + row * keys + end,
              1.0F / static_cast<float>(end - begin));
  }
  return e;
}

kernels::SequenceProjection projection_of(const AuxTensor& e) {
  const std::size_t last = e.shape.size() - 1;
  return {e.values.data(), e.shape.size() == 3 ? e.shape[0] : 1, e.shape[last - 1], e.shape[last]};
}

std::int64_t projection_heads(const Problem& p, const ParamValues& params) {
  return params.text("sharing") == "none" ? p.heads_kv : 1;
}

Status check_projection(const std::string& name, const AuxTensor& e, const Problem& p,
                        std::int64_t rank) {
  const bool shared = e.shape.size() == 2 && e.shape[0] == rank && e.shape[1] == p.seq_k;
  const bool per_head = e.shape.size() == 3 && e.shape[0] == p.heads_kv && e.shape[1] == rank &&
                        e.shape[2] == p.seq_k;
  if (shared || per_head) return ok_status();
  return usage_error(
      fmt::format("linformer: {} has shape {}, accepted are [k, Nk] = [{}, {}] and "
                  "[Hkv, k, Nk] = [{}, {}, {}]",
                  name, shape_text(e.shape), rank, p.seq_k, p.heads_kv, rank, p.seq_k));
}

/// [B, Hkv, rank, dim].
TensorView projected_rows(const Problem& p, std::int64_t rank, std::int64_t dim,
                          Workspace& workspace) {
  const std::int64_t stride = kernels::projected_stride(dim), head = rank * stride;
  return {workspace.take(static_cast<std::size_t>(p.batch * p.heads_kv * head)),
          {p.batch, p.heads_kv, rank, dim},
          {p.heads_kv * head, head, stride}};
}

class LinformerPlan final : public Plan {
 public:
  LinformerPlan(const Problem& problem, const ParamValues& params, const AuxSet& aux)
      : problem_(problem), e_(projection_of(aux.at("E"))) {
    if (params.text("sharing") != "key-value") f_.emplace(projection_of(aux.at("F")));
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    const std::int64_t rank = e_.rank();
    const TensorView k = projected_rows(p, rank, p.dim_qk, workspace);
    const TensorView v = projected_rows(p, rank, p.dim_v, workspace);
    const Problem compressed = compressed_problem(p, rank);
    const kernels::KeySource sources[] = {{k, v}};
    const auto pattern = all_keys(rank);
    kernels::compressed_softmax(
        {p, e_, inputs.k, k}, {p, f_ ? *f_ : e_, inputs.v, v},
        {compressed, compressed.scale_or_default(), sources, pattern, inputs.q, output}, workspace,
        executor);
  }

 private:
  Problem problem_;
  kernels::BlockedProjection e_;
  std::optional<kernels::BlockedProjection> f_;  // Absent: E.
};

class Linformer final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "linformer",
        .family = "low-rank",
        .summary = "keys and values projected along the sequence to a fixed rank",
        .formula = "O = softmax(scale Q (E K)^T) (F V)",
        .source = "Wang, Li, Khabsa, Fang, Ma 2020, Linformer, arXiv 2006.04768, equation 7",
        .exactness = Exactness::approximate,
        .laws = {"N", "1"},
        .params = {{.name = "rank",
                    .type = ParamSpec::Type::integer,
                    .default_text = "128",
                    .minimum = 1,
                    .maximum = 1 << 20,
                    .choices = {},
                    .meaning = "k, projected keys; a given E fixes it"},
                   {.name = "sharing",
                    .type = ParamSpec::Type::choice,
                    .default_text = "key-value",
                    .minimum = {},
                    .maximum = {},
                    .choices = {"key-value", "headwise", "none"},
                    .meaning = "key-value: E = F for all heads; headwise: E and F for all heads; "
                               "none: E and F per key-value head"}},
        .aux = {{"E", "[k, Nk] or [Hkv, k, Nk]", "projects keys; mean pooling when not given"},
                {"F", "[k, Nk] or [Hkv, k, Nk]", "projects values; E when only E is given"}},
        .mask_refusal = "its compressed keys are each a mixture of all keys",
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues&) const override {
    if (p.causal) return "no causal form: every output sees every key";
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const auto d = [](std::int64_t x) { return static_cast<double>(x); };
    const std::int64_t rank = params.integer("rank");
    const Problem compressed = compressed_problem(p, rank);
    const kernels::TileWork work = kernels::tiled_softmax_work(compressed, all_keys(rank), 1);
    double keys = 0;
    for (std::int64_t b = 0; b < p.batch; ++b) keys += d(p.key_length(b));
    Cost cost;
    cost.performed_flops =
        2 * d(p.dim_qk + p.dim_v) * d(rank) * keys * d(p.heads_kv) + work.flops(p.dim_qk, p.dim_v);
    cost.exp_count = work.exps;
    const double matrices =
        (params.text("sharing") == "key-value" ? 1 : 2) * d(projection_heads(p, params));
    cost.min_bytes = compulsory_bytes(p) + 4 * matrices * d(rank) * d(p.seq_k);
    cost.traffic_bytes =
        cost.min_bytes + 8 * d(p.batch * p.heads_kv) * d(rank) * d(p.dim_qk + p.dim_v);
    cost.useful_flops = dense_flops(p);
    const auto rows = static_cast<std::size_t>(p.batch * p.heads_kv * rank);
    const auto floats = [&](std::int64_t dim) {
      return rows * static_cast<std::size_t>(kernels::projected_stride(dim));
    };
    cost.workspace_bytes = workspace_take_bytes(floats(p.dim_qk)) +
                           workspace_take_bytes(floats(p.dim_v)) +
                           kernels::compressed_softmax_workspace_bytes(compressed, threads);
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t) const override {
    for (const auto& [name, tensor] : given) {
      if (name != "E" && name != "F") {
        return usage_error("linformer has the auxiliary tensors E and F, '" + name + "' was given");
      }
      if (tensor.is_integer) return usage_error("linformer: " + name + " must be floating point");
    }
    const bool same = params.text("sharing") == "key-value";
    if (!given.empty()) {
      const AuxTensor& first = given.begin()->second;
      if (first.shape.size() == 2 || first.shape.size() == 3) {
        params.set("rank", std::to_string(first.shape[first.shape.size() - 2]));
      }
      if (given.contains("E") && given.contains("F") && same) params.set("sharing", "headwise");
      if (first.shape.size() == 3 && p.heads_kv > 1) params.set("sharing", "none");
    }
    const std::int64_t rank = params.integer("rank");
    for (const auto& [name, tensor] : given) {
      if (auto status = check_projection(name, tensor, p, rank); !status) return status.error();
    }
    if (!given.contains("E")) {
      given["E"] = mean_pooling(projection_heads(p, params), rank, p.seq_k);
    }
    if (!given.contains("F")) given["F"] = given["E"];
    return given;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet& aux) const override {
    return std::unique_ptr<Plan>(std::make_unique<LinformerPlan>(problem, params, aux));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
};

/// P[r][d] = sum over the readable keys j of E[r][j] X[j][d], in float64.
std::vector<double> projected(const kernels::SequenceProjection& e, const ConstTensorView& x,
                              std::int64_t b, std::int64_t head, std::int64_t keys) {
  const std::int64_t dim = x.shape[3];
  std::vector<double> out(static_cast<std::size_t>(e.rank * dim), 0.0);
  for (std::int64_t r = 0; r < e.rank; ++r) {
    for (std::int64_t j = 0; j < keys; ++j) {
      const double weight = static_cast<double>(e.row(head, r)[j]);
      if (weight == 0) continue;
      const float* row = x.row(b, head, j);
      for (std::int64_t d = 0; d < dim; ++d) {
        out[static_cast<std::size_t>(r * dim + d)] += weight * static_cast<double>(row[d]);
      }
    }
  }
  return out;
}

ReferenceRows Linformer::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const auto e = projection_of(request.aux.at("E")), f = projection_of(request.aux.at("F"));
  ReferenceRows result;
  std::vector<double> k, v, logits(static_cast<std::size_t>(e.rank));
  std::int64_t current = -1;
  for (const RowIndex& row : request.rows) {
    const std::int64_t kv = row.head / p.group();
    if (current != row.batch * p.heads_kv + kv) {
      current = row.batch * p.heads_kv + kv;
      k = projected(e, request.inputs.k, row.batch, kv, p.key_length(row.batch));
      v = projected(f, request.inputs.v, row.batch, kv, p.key_length(row.batch));
    }
    const float* q = request.inputs.q.row(row.batch, row.head, row.query);
    for (std::int64_t r = 0; r < e.rank; ++r) {
      logits[static_cast<std::size_t>(r)] =
          p.scale_or_default() * dot(q, k.data() + r * p.dim_qk, p.dim_qk);
    }
    const double largest = *std::ranges::max_element(logits);
    double total = 0;
    for (double& logit : logits) total += logit = std::exp(logit - largest);
    for (std::int64_t d = 0; d < p.dim_v; ++d) {
      double sum = 0;
      for (std::int64_t r = 0; r < e.rank; ++r) {
        sum += logits[static_cast<std::size_t>(r)] / total *
               v[static_cast<std::size_t>(r * p.dim_v + d)];
      }
      result.values.push_back(sum);
    }
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Linformer)
