#include "run/prepared_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>

namespace attnbench::run {

Error current_exception_error() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {Error::Kind::out_of_memory, "an allocation failed"};
  } catch (const std::exception& thrown) {
    return {Error::Kind::internal, thrown.what()};
  } catch (...) {
    return {Error::Kind::internal, "an exception of unknown type"};
  }
}

Result<std::unique_ptr<PreparedCase>> PreparedCase::create(const Case& spec, std::uint64_t seed) {
  try {
    std::unique_ptr<PreparedCase> prepared(new PreparedCase);
    prepared->spec_ = &spec;
    prepared->params_ = spec.params;
    auto aux = spec.variant->complete_aux(spec.problem, prepared->params_, {}, seed);
    if (!aux) return aux.error();
    prepared->aux_ = std::move(*aux);
    auto plan = spec.variant->prepare(spec.problem, prepared->params_, prepared->aux_);
    if (!plan) return plan.error();
    prepared->plan_ = std::move(*plan);
    prepared->workspace_ = Workspace(spec.cost.workspace_bytes);
    return prepared;
  } catch (const std::bad_alloc&) {
    return Error{Error::Kind::out_of_memory,
                 fmt::format("no memory for a workspace of {} bytes and the auxiliary tensors",
                             spec.cost.workspace_bytes)};
  } catch (...) {
    return current_exception_error();
  }
}

Status PreparedCase::try_run(const Inputs& inputs, TensorView output, Executor& executor) {
  try {
    run(inputs, output, executor);
    return ok_status();
  } catch (...) {
    return current_exception_error();
  }
}

namespace {

Tensor copy_of(const Tensor& tensor, Layout layout) {
  Tensor copy(tensor.shape(), layout);
  std::ranges::copy(tensor.buffer().span(), copy.buffer().data());
  return copy;
}

double bytes_of(const Tensor& tensor) {
  return static_cast<double>(tensor.buffer().size() * sizeof(float));
}

}  // namespace

InputRotation::InputRotation(const InputTensors& tensors, Layout layout, bool hot, bool cold,
                             double last_level_cache_bytes) {
  views_.push_back(tensors.view());
  if (!cold) return;
  const double bytes = bytes_of(tensors.q) + bytes_of(tensors.k) + bytes_of(tensors.v);
  first_cold_ = hot ? 1 : 0;
  turn_ = first_cold_;
  const auto extra =
      first_cold_ +
      static_cast<std::size_t>(std::ceil(2 * last_level_cache_bytes / std::max(bytes, 1.0)));
  copies_.reserve(extra);
  for (std::size_t i = 0; i < extra; ++i) {
    copies_.push_back(
        {copy_of(tensors.q, layout), copy_of(tensors.k, layout), copy_of(tensors.v, layout)});
    views_.push_back(copies_.back().view());
  }
}

Inputs InputRotation::next(CacheState cache) {
  if (cache == CacheState::hot) return views_.front();
  const Inputs inputs = views_[turn_];
  turn_ = turn_ + 1 == views_.size() ? first_cold_ : turn_ + 1;
  return inputs;
}

void touch(const float* data, std::size_t count) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  volatile float sink = 0;
  float sum = 0;
  for (std::size_t i = 0; i < count; i += kLine) sum += data[i];
  sink = sum;
  static_cast<void>(sink);
}

}  // namespace attnbench::run
