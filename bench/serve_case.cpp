#include "bench/serve_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "attention/reference.h"
#include "measure/clock.h"

namespace attnbench::bench {
namespace {

std::string key_of(const CaseSpec& spec) {
  return fmt::format("{} layout={} input={} seed={}", spec.problem.describe(),
                     to_string(spec.problem.layout), spec.input, spec.seed);
}

/// The tensor of `key`, made by `make` unless some case still holds it.
template <class T, class Make>
std::shared_ptr<T> shared(std::map<std::string, std::weak_ptr<T>>& pool, const std::string& key,
                          const Make& make) {
  std::weak_ptr<T>& slot = pool[key];
  if (std::shared_ptr<T> alive = slot.lock()) return alive;
  auto made = std::make_shared<T>(make());
  slot = made;
  return made;
}

}  // namespace

kernels::ThreadArena& Arenas::at(int threads) {
  if (arena_ == nullptr || arena_->threads() != threads) {
    arena_.reset();  // Before the next one is made: never two at once.
    arena_ = std::make_unique<kernels::ThreadArena>(threads);
  }
  return *arena_;
}

std::shared_ptr<InputTensors> TensorPool::inputs(const CaseSpec& spec) {
  return shared(inputs_, key_of(spec),
                [&] { return draw_inputs(spec.problem, spec.input, spec.seed); });
}

std::shared_ptr<Tensor> TensorPool::output(const CaseSpec& spec) {
  const Problem& p = spec.problem;
  return shared(outputs_, key_of(spec), [&] {
    return Tensor({p.batch, p.heads_q, p.seq_q, p.dim_v}, p.layout);
  });
}

Result<std::unique_ptr<PreparedCase>> PreparedCase::make(const CaseSpec& spec,
                                                         TensorPool& tensors) {
  const Variant* variant = Registry::instance().find(spec.variant);
  if (variant == nullptr) return usage_error(fmt::format("unknown variant '{}'", spec.variant));
  if (const Status valid = validate(spec.problem); !valid) return valid.error();
  auto params = resolve_params(spec.variant, variant->info().params, spec.params);
  if (!params) return params.error();
  if (auto reason = variant->unsupported_reason(spec.problem, *params)) {
    return unsupported_error(
        fmt::format("{} cannot run {}: {}", spec.variant, spec.problem.describe(), *reason));
  }
  std::unique_ptr<PreparedCase> made(new PreparedCase);
  made->spec_ = spec;
  made->variant_ = variant;
  made->params_ = std::move(*params);
  auto aux = variant->complete_aux(spec.problem, made->params_, {}, spec.seed);
  if (!aux) return aux.error();
  made->aux_ = std::move(*aux);
  auto plan = variant->prepare(spec.problem, made->params_, made->aux_);
  if (!plan) return plan.error();
  made->plan_ = std::move(*plan);
  made->cost_ = variant->cost(spec.problem, made->params_, spec.threads);
  made->workspace_ = Workspace(made->cost_.workspace_bytes);
  made->inputs_ = tensors.inputs(spec);
  made->output_ = tensors.output(spec);
  return made;
}

void PreparedCase::call(Executor& executor) {
  workspace_.reset();
  plan_->run(inputs_->view(), output_->view(), workspace_, executor);
}

Elapsed PreparedCase::time(std::int64_t iterations, std::int64_t warm, Executor& executor) {
  for (std::int64_t i = 0; i < warm; ++i) call(executor);
  const double cpu_s = measure::process_cpu_s();
  const double begin_s = measure::steady_now_s();
  for (std::int64_t i = 0; i < iterations; ++i) call(executor);
  return {measure::steady_now_s() - begin_s, measure::process_cpu_s() - cpu_s};
}

Check PreparedCase::check(std::int64_t rows, Executor& executor) {
  // A row that is not written must not pass on what another case left there.
  std::ranges::fill(output_->buffer().span(), std::numeric_limits<float>::quiet_NaN());
  call(executor);
  const std::vector<RowIndex> sample = sample_rows(spec_.problem, rows, spec_.seed);
  const ReferenceRows expected =
      variant_->reference({spec_.problem, params_, aux_, inputs_->view(), sample});
  const ErrorFigures figures = compare_rows(output_->view(), sample, expected);
  return {figures.relative_l2, variant_->definition_tolerance(), figures.rows};
}

}  // namespace attnbench::bench
