// Variants that only declare things: what configuration and planning look at, no arithmetic.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attention/registry.h"

namespace attnbench::testing {

/// Costs dense softmax attention and a workspace of one score matrix per thread.
class FakeVariant : public Variant {
 public:
  explicit FakeVariant(VariantInfo info, bool refuses_causal = false)
      : info_(std::move(info)), refuses_causal_(refuses_causal) {}

  const VariantInfo& info() const override { return info_; }

  std::optional<std::string> unsupported_reason(const Problem& problem,
                                                const ParamValues&) const override {
    if (refuses_causal_ && problem.causal) return info_.name + " has no causal form";
    return std::nullopt;
  }

  Cost cost(const Problem& problem, const ParamValues&, int threads) const override {
    Cost cost;
    cost.performed_flops = dense_flops(problem);
    cost.exp_count =
        cost.performed_flops / static_cast<double>(2 * (problem.dim_qk + problem.dim_v));
    cost.min_bytes = compulsory_bytes(problem);
    cost.traffic_bytes = cost.min_bytes;
    cost.workspace_bytes = static_cast<std::size_t>(threads * problem.seq_q * problem.seq_k * 4);
    return cost;
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem&, const ParamValues&,
                                        const AuxSet&) const override {
    return unsupported_error("a fake cannot run");
  }
  ReferenceRows reference(const ReferenceRequest&) const override { return {}; }

 private:
  VariantInfo info_;
  bool refuses_causal_;
};

inline VariantInfo fake_info(std::string name, std::string family,
                             std::vector<ParamSpec> params = {}) {
  VariantInfo info;
  info.name = std::move(name);
  info.family = std::move(family);
  info.laws = {"N^2", "N^2"};
  info.params = std::move(params);
  return info;
}

inline ParamSpec integer_param(std::string name, std::string default_text, double minimum,
                               double maximum) {
  ParamSpec spec;
  spec.name = std::move(name);
  spec.default_text = std::move(default_text);
  spec.minimum = minimum;
  spec.maximum = maximum;
  return spec;
}

/// The six names of the quickstart; linformer refuses causal. `linear` has no scale, `global` has a
/// list-valued, a real and a boolean parameter.
inline void add_fakes(Registry& registry) {
  const auto add = [&](VariantInfo info, bool refuses_causal = false) {
    registry.add(std::make_unique<FakeVariant>(std::move(info), refuses_causal));
  };
  add(fake_info("full", "softmax"));
  add(fake_info("flash", "softmax"));
  add(fake_info(
      "local", "sparse",
      {integer_param("left", "128", -1, 1048576), integer_param("right", "128", -1, 1048576)}));
  ParamSpec pattern;
  pattern.name = "pattern";
  pattern.type = ParamSpec::Type::choice;
  pattern.default_text = "strided";
  pattern.choices = {"strided", "fixed"};
  ParamSpec stride = integer_param("stride", "auto", 1, 1048576);
  stride.accepts_auto = true;
  add(fake_info("sparse", "sparse", {pattern, stride}));
  add(fake_info("linformer", "low-rank", {integer_param("rank", "128", 1, 65536)}), true);
  add(fake_info("performer", "kernel", {integer_param("features", "256", 1, 65536)}));
  VariantInfo linear = fake_info("linear", "kernel");
  linear.has_scale = false;
  add(std::move(linear));
  ParamSpec positions = integer_param("positions", "none", 0, 1048576);
  positions.type = ParamSpec::Type::integer_list;
  ParamSpec sharpness;
  sharpness.name = "sharpness";
  sharpness.type = ParamSpec::Type::real;
  sharpness.default_text = "1";
  sharpness.minimum = 0;
  ParamSpec self_loops;
  self_loops.name = "self-loops";
  self_loops.type = ParamSpec::Type::boolean;
  self_loops.default_text = "true";
  add(fake_info("global", "sparse", {positions, sharpness, self_loops}));
}

}  // namespace attnbench::testing
