#include "cli/eval_call.h"

#include <fmt/format.h>

#include <algorithm>

#include "record/markdown.h"
#include "run/reference_cache.h"

namespace attnbench::cli {
namespace {

/// Fills V with columns [first, first + width) of the identity, zeros beyond it.
void fill_identity_columns(std::int64_t first, TensorView v) {
  for (std::int64_t b = 0; b < v.shape[0]; ++b) {
    for (std::int64_t h = 0; h < v.shape[1]; ++h) {
      for (std::int64_t j = 0; j < v.shape[2]; ++j) {
        float* row = v.row(b, h, j);
        std::fill(row, row + v.shape[3], 0.0F);
        if (j >= first && j < first + v.shape[3]) row[j - first] = 1.0F;
      }
    }
  }
}

/// Copies the block's output to columns [first, ...) of W.
void copy_columns(ConstTensorView block, std::int64_t first, std::int64_t seq_k,
                  std::vector<float>& weights) {
  const std::int64_t width = std::min(block.shape[3], seq_k - first);
  std::int64_t row = 0;
  for (std::int64_t b = 0; b < block.shape[0]; ++b) {
    for (std::int64_t h = 0; h < block.shape[1]; ++h) {
      for (std::int64_t i = 0; i < block.shape[2]; ++i, ++row) {
        const float* source = block.row(b, h, i);
        std::copy(source, source + width, weights.begin() + row * seq_k + first);
      }
    }
  }
}

}  // namespace

Result<PreparedCall> PreparedCall::make(const EvalCall& call, Executor& executor) {
  if (auto reason = call.variant->refusal(call.problem, call.params)) {
    return unsupported_error(fmt::format("{} cannot run {}: {}", call.variant->info().name,
                                         call.problem.describe(), *reason));
  }
  auto plan = call.variant->prepare(call.problem, call.params, call.aux);
  if (!plan) return plan.error();
  const Cost cost = call.variant->cost(call.problem, call.params, executor.threads());
  return PreparedCall(std::move(*plan), cost.workspace_bytes, executor);
}

void PreparedCall::run(const Inputs& inputs, TensorView output) {
  workspace_.reset();
  plan_->run(inputs, output, workspace_, *executor_);
}

Result<Tensor> run_call(const EvalCall& call, const Inputs& inputs, Executor& executor) {
  auto prepared = PreparedCall::make(call, executor);
  if (!prepared) return prepared.error();
  const Problem& p = call.problem;
  Tensor output({p.batch, p.heads_q, p.seq_q, p.dim_v}, p.layout);
  prepared->run(inputs, output.view());
  return output;
}

Result<std::vector<float>> dense_weights(const EvalCall& call, const InputTensors& tensors,
                                         Executor& executor, double limit_bytes) {
  if (!call.variant->info().has_dense_weights) {
    return unsupported_error(fmt::format("--weights: {} has no dense weights W with O = W V",
                                         call.variant->info().name));
  }
  constexpr std::int64_t kBlock = 64;
  EvalCall block_call = call;
  Problem& p = block_call.problem;
  p.dim_v = std::min(kBlock, p.seq_k);
  const double rows =
      static_cast<double>(p.batch) * static_cast<double>(p.heads_q) * static_cast<double>(p.seq_q);
  const double bytes = rows * static_cast<double>(p.seq_k) * sizeof(float);
  if (bytes > limit_bytes) {
    return Error{
        Error::Kind::out_of_memory,
        fmt::format("--weights: [{}, {}, {}, {}] takes {}, more than the {} that are free", p.batch,
                    p.heads_q, p.seq_q, p.seq_k, bytes_text(bytes), bytes_text(limit_bytes))};
  }
  auto prepared = PreparedCall::make(block_call, executor);
  if (!prepared) return prepared.error();
  Tensor v({p.batch, p.heads_kv, p.seq_k, p.dim_v}, p.layout);
  Tensor output({p.batch, p.heads_q, p.seq_q, p.dim_v}, p.layout);
  std::vector<float> weights(static_cast<std::size_t>(bytes) / sizeof(float));
  for (std::int64_t first = 0; first < p.seq_k; first += p.dim_v) {
    fill_identity_columns(first, v.view());
    prepared->run({tensors.q.view(), tensors.k.view(), v.view()}, output.view());
    copy_columns(output.view(), first, p.seq_k, weights);
  }
  return weights;
}

EvalCheck check_output(const EvalCall& call, const Inputs& inputs, ConstTensorView output,
                       std::uint64_t seed, Executor& executor) {
  const Variant& variant = *call.variant;
  run::ReferenceCache references(call.problem, inputs, seed);
  const auto& rows = references.rows();
  EvalCheck check;
  check.all_rows = references.all_rows_checked();
  check.definition =
      compare_rows(output, rows, references.definition(variant, call.params, call.aux, executor));
  check.tolerance = variant.definition_tolerance();
  if (variant.info().exactness == Exactness::different) return check;
  if (variant.chooses_keys()) {
    const ReferenceRows& own = references.definition(variant, call.params, call.aux, executor);
    check.softmax = check.definition;
    check.mean_v = mean_v_error(call.problem, inputs, rows, own.values);
    return check;
  }
  const run::SoftmaxRows& softmax = references.softmax(variant, call.params, executor);
  check.softmax = compare_rows(output, rows, {softmax.values, {}});
  check.mean_v = softmax.mean_v_error;
  if (dynamic_cast<const SoftmaxVariant*>(&variant) != nullptr) {
    // Rounding alone costs more than the tolerance where logits are very large.
    const auto& plain = references.plain_float(variant, call.params, executor);
    if (plain.largest_logit > 100) {
      check.tolerance = std::max(check.tolerance, 2 * plain.relative_l2 + 1e-6);
    }
  }
  return check;
}

}  // namespace attnbench::cli
