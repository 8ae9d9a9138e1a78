// performer: softmax attention approximated by positive random features (FAVOR+).
//
//   O_i = phi(q_i) S / phi(q_i) z,   S = sum_j phi(k_j)^T v_j,   z = sum_j phi(k_j)
//   phi(x) = exp(omega x' - |x'|^2 / 2),   x' = sqrt(scale) x      (kernel = softmax)
//   phi(x) = max(0, omega x') + 1e-3                               (kernel = relu)
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], omega [m, D], O [B, Hq, Nq, Dv].
// Approximates softmax attention; the error falls as m^(-1/2) while |q'|^2 and |k'|^2 are small and
// hardly at all once they are large. Time grows as N, workspace (S and z) not at all; causal by a
// running state, in chunks.
// Source: Choromanski et al. 2021, "Rethinking Attention with Performers", arXiv 2009.14794: lemma
// 1 (positive features), section 2.4 (orthogonal features), section 2.5.1 (prefix sums). Nothing is
// added to the exponential features: an epsilon beside a maximum over all keys would let a causal
// output depend on later keys.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"
#include "attention/reference.h"
#include "attention/registry.h"
#include "kernels/feature_attention.h"

namespace attnbench {
namespace {

bool is_exponential(const ParamValues& params) { return params.text("kernel") == "softmax"; }

/// Rows of independent standard normal vectors; with `orthogonal`, each block of D rows is made
/// orthogonal (Gram-Schmidt on a Gaussian matrix gives the Haar distribution) and given the norms
/// of other, independent Gaussian vectors.
AuxTensor draw_omega(std::int64_t features, std::int64_t dim, bool orthogonal, std::uint64_t seed) {
  const CounterRng directions(seed, "omega"), norms(seed, "omega norms");
  const auto n = static_cast<std::size_t>(dim);
  AuxTensor omega{{features, dim}, {}, {}, false};
  std::vector<std::vector<double>> block;
  for (std::int64_t f = 0; f < features; ++f) {
    if (f % dim == 0) block.clear();
    std::vector<double> row(n);
    double norm = 0;
    for (std::size_t d = 0; d < n; ++d) {
      const auto at = static_cast<std::uint64_t>(f) * n + d;
      row[d] = directions.normal(at);
      norm += norms.normal(at) * norms.normal(at);
    }
    if (orthogonal) {
      // Twice: the second pass removes what rounding left of the first.
      for (int pass = 0; pass < 2; ++pass) {
        for (const auto& other : block) {
          double dot = 0;
          for (std::size_t d = 0; d < n; ++d) dot += row[d] * other[d];
          for (std::size_t d = 0; d < n; ++d) row[d] -= dot * other[d];
        }
      }
      double length = 0;
      for (double x : row) length += x * x;
      for (double& x : row) x /= std::sqrt(length);
      block.push_back(row);
      for (double& x : row) x *= std::sqrt(norm);
    }
    for (double x : row) omega.values.push_back(static_cast<float>(x));
  }
  return omega;
}

class PerformerPlan final : public Plan {
 public:
  PerformerPlan(const Problem& problem, const ParamValues& params, const AuxTensor& omega)
      : problem_(problem),
        map_(is_exponential(params) ? kernels::FeatureMap::exponential
                                    : kernels::FeatureMap::rectified),
        omega_(omega) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    kernels::feature_attention({problem_, map_, omega_.values.data(), omega_.shape[0]}, inputs,
                               output, workspace, executor);
  }

 private:
  Problem problem_;
  kernels::FeatureMap map_;
  AuxTensor omega_;
};

class Performer final : public Variant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "performer",
        .family = "kernel",
        .summary = "softmax attention approximated by positive random features (FAVOR+)",
        .formula =
            "O_i = phi(q_i) S / phi(q_i) z;  S = sum_j phi(k_j)^T v_j;  z = sum_j phi(k_j);  "
            "phi(x) = exp(omega x' - |x'|^2 / 2),  x' = sqrt(scale) x",
        .source =
            "Choromanski et al. 2021, Rethinking Attention with Performers, arXiv 2009.14794, "
            "lemma 1 and sections 2.4, 2.5",
        .exactness = Exactness::approximate,
        .laws = {"N", "1"},
        .params = {{.name = "features",
                    .type = ParamSpec::Type::integer,
                    .default_text = "256",
                    .minimum = 1,
                    .maximum = 1 << 20,
                    .choices = {},
                    .meaning = "m, random features; a given omega fixes it"},
                   {.name = "kernel",
                    .type = ParamSpec::Type::choice,
                    .default_text = "softmax",
                    .minimum = {},
                    .maximum = {},
                    .choices = {"softmax", "relu"},
                    .meaning = "feature map: exponential, or max(0, omega x') + 1e-3"},
                   {.name = "orthogonal",
                    .type = ParamSpec::Type::boolean,
                    .default_text = "true",
                    .minimum = {},
                    .maximum = {},
                    .choices = {},
                    .meaning = "orthogonal blocks of D features instead of independent ones"}},
        .aux = {{"omega", "[m, D]",
                 "projections; drawn from the seed: Haar-orthogonal blocks with norms of Gaussian "
                 "vectors, or independent Gaussian rows"}},
        .mask_refusal = "its keys are summed before they meet a query",
    };
    return info;
  }

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues&) const override {
    if (p.scale_or_default() < 0) {
      return fmt::format("scale {} is negative: features are taken of sqrt(scale) x",
                         p.scale_or_default());
    }
    return std::nullopt;
  }

  Cost cost(const Problem& p, const ParamValues& params, int threads) const override {
    const auto map =
        is_exponential(params) ? kernels::FeatureMap::exponential : kernels::FeatureMap::rectified;
    const std::int64_t features = params.integer("features");
    const kernels::FeatureWork work =
        kernels::feature_attention_work({p, map, nullptr, features}, threads);
    Cost cost;
    cost.performed_flops = work.flops;
    cost.exp_count = work.exps;
    cost.min_bytes = compulsory_bytes(p) + 4 * static_cast<double>(features * p.dim_qk);
    cost.traffic_bytes = cost.min_bytes;
    cost.useful_flops = dense_flops(p);
    cost.workspace_bytes = work.workspace_bytes;
    return cost;
  }

  Result<AuxSet> complete_aux(const Problem& p, ParamValues& params, AuxSet given,
                              std::uint64_t seed) const override {
    for (const auto& [name, tensor] : given) {
      if (name != "omega") {
        return usage_error("performer has the auxiliary tensor omega, '" + name + "' was given");
      }
      if (tensor.is_integer || tensor.shape.size() != 2 || tensor.shape[0] < 1 ||
          tensor.shape[1] != p.dim_qk) {
        return usage_error(fmt::format(
            "performer: omega has shape {}, accepted is floating point [m, D] = [m, {}]",
            shape_text(tensor.shape), p.dim_qk));
      }
      params.set("features", std::to_string(tensor.shape[0]));
    }
    if (given.empty()) {
      given["omega"] =
          draw_omega(params.integer("features"), p.dim_qk, params.boolean("orthogonal"), seed);
    }
    return given;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet& aux) const override {
    return std::unique_ptr<Plan>(std::make_unique<PerformerPlan>(problem, params, aux.at("omega")));
  }

  ReferenceRows reference(const ReferenceRequest& request) const override;
  double definition_tolerance() const override { return 1e-4; }
};

/// Feature exponents (softmax: omega x' - |x'|^2 / 2) or values (relu) of one row, in float64.
std::vector<double> features_of(const float* x, const AuxTensor& omega, double root_scale,
                                bool exponential) {
  const std::int64_t features = omega.shape[0], dim = omega.shape[1];
  double half_norm = 0;
  for (std::int64_t d = 0; d < dim; ++d) {
    half_norm += 0.5 * std::pow(root_scale * static_cast<double>(x[d]), 2);
  }
  std::vector<double> u(static_cast<std::size_t>(features));
  for (std::int64_t f = 0; f < features; ++f) {
    const double projected = root_scale * dot(omega.values.data() + f * dim, x, dim);
    u[static_cast<std::size_t>(f)] =
        exponential ? projected - half_norm : std::max(0.0, projected) + 1e-3;
  }
  return u;
}

/// The quadratic form: every weight phi(q_i).phi(k_j), no running state. Exponents are shifted by
/// each feature's largest key and each query's largest term, which cancel in the quotient.
ReferenceRows Performer::reference(const ReferenceRequest& request) const {
  const Problem& p = request.problem;
  const AuxTensor& omega = request.aux.at("omega");
  const auto features = static_cast<std::size_t>(omega.shape[0]);
  const bool exponential = is_exponential(request.params);
  const double root_scale = std::sqrt(p.scale_or_default());
  ReferenceRows result;
  std::int64_t current = -1;
  std::vector<std::vector<double>> phi_k;
  std::vector<double> shift;
  for (const RowIndex& row : request.rows) {
    const std::int64_t kv = row.head / p.group();
    if (current != row.batch * p.heads_kv + kv) {
      current = row.batch * p.heads_kv + kv;
      phi_k.clear();
      shift.assign(features, exponential ? -INFINITY : 0.0);
      for (std::int64_t j = 0; j < p.key_length(row.batch); ++j) {
        phi_k.push_back(
            features_of(request.inputs.k.row(row.batch, kv, j), omega, root_scale, exponential));
        for (std::size_t f = 0; exponential && f < features; ++f) {
          shift[f] = std::max(shift[f], phi_k.back()[f]);
        }
      }
      for (auto& phi : phi_k) {
        for (std::size_t f = 0; exponential && f < features; ++f) {
          phi[f] = std::exp(phi[f] - shift[f]);
        }
      }
    }
    std::vector<double> phi_q = features_of(request.inputs.q.row(row.batch, row.head, row.query),
                                            omega, root_scale, exponential);
    if (exponential && !phi_k.empty()) {
      for (std::size_t f = 0; f < features; ++f) phi_q[f] += shift[f];
      const double largest = *std::ranges::max_element(phi_q);
      for (double& x : phi_q) x = std::exp(x - largest);
    }
    std::vector<double> out(static_cast<std::size_t>(p.dim_v), 0.0);
    double total = 0;
    for (std::int64_t j = 0; j < p.key_length(row.batch); ++j) {
      if (!base_mask_allows(p, row.batch, row.query, j)) break;
      const double weight =
          dot(phi_q.data(), phi_k[static_cast<std::size_t>(j)].data(), omega.shape[0]);
      total += weight;
      const float* v = request.inputs.v.row(row.batch, kv, j);
      for (std::size_t d = 0; d < out.size(); ++d) out[d] += weight * static_cast<double>(v[d]);
    }
    for (double& x : out) x = total > 0 ? x / total : 0;
    result.values.insert(result.values.end(), out.begin(), out.end());
  }
  return result;
}

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Performer)
