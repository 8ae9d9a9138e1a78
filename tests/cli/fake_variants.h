// Small variants for tests of the command line.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "attention/reference.h"
#include "attention/registry.h"

namespace attnbench::cli {

/// Softmax attention by the float64 reference, off by the factor `gain`.
class FakeVariant final : public SoftmaxVariant {
 public:
  FakeVariant(std::string name, float gain) : gain_(gain) {
    info_.name = std::move(name);
    info_.family = "fake";
    info_.summary = "for tests";
    info_.formula = "O = gain softmax(Q K^T) V";
    info_.source = "none";
    info_.laws = {"N^2", "1"};
  }
  const VariantInfo& info() const override { return info_; }
  std::optional<std::string> unsupported_reason(const Problem& problem,
                                                const ParamValues&) const override {
    if (problem.dim_qk == 13) return "13 brings bad luck";
    return std::nullopt;
  }
  Cost cost(const Problem& problem, const ParamValues&, int) const override {
    Cost cost;
    cost.performed_flops = dense_flops(problem);
    cost.useful_flops = dense_flops(problem);
    cost.exp_count = allowed_pairs(problem);
    cost.min_bytes = cost.traffic_bytes = compulsory_bytes(problem);
    return cost;
  }
  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet&) const override {
    return std::unique_ptr<Plan>(std::make_unique<FakePlan>(problem, gain_));
  }

 private:
  class FakePlan final : public Plan {
   public:
    FakePlan(Problem problem, float gain) : problem_(std::move(problem)), gain_(gain) {}
    void run(const Inputs& inputs, TensorView output, Workspace&, Executor&) override {
      const auto rows = all_rows(problem_);
      const auto values = softmax_attention_rows(
          problem_, inputs, rows,
          [this](std::int64_t b, std::int64_t, std::int64_t i, std::int64_t j) {
            return base_mask_allows(problem_, b, i, j);
          });
      const auto width = static_cast<std::size_t>(problem_.dim_v);
      for (std::size_t r = 0; r < rows.size(); ++r) {
        float* row = output.row(rows[r].batch, rows[r].head, rows[r].query);
        for (std::size_t d = 0; d < width; ++d) {
          row[d] = gain_ * static_cast<float>(values[r * width + d]);
        }
      }
    }

   private:
    Problem problem_;
    float gain_;
  };

  VariantInfo info_;
  float gain_;
};

}  // namespace attnbench::cli
