// A case that is ready to be called: auxiliary tensors drawn, plan made, workspace in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "attention/inputs.h"
#include "plan/plan.h"

namespace attnbench::run {

/// Owns everything that one case needs besides its inputs and its output.
class PreparedCase {
 public:
  /// Untimed work: draws the auxiliary tensors from `seed`, makes the plan and a workspace of
  /// exactly the bytes that the cost model says. Whatever is thrown below becomes an Error.
  static Result<std::unique_ptr<PreparedCase>> create(const Case& spec, std::uint64_t seed);

  /// One call. What the variant throws comes out of here.
  void run(const Inputs& inputs, TensorView output, Executor& executor) {
    workspace_.reset();
    plan_->run(inputs, output, workspace_, executor);
  }
  /// One call, with what it throws as an Error: out_of_memory or internal.
  Status try_run(const Inputs& inputs, TensorView output, Executor& executor);

  const Case& spec() const { return *spec_; }
  const ParamValues& params() const { return params_; }
  const AuxSet& aux() const { return aux_; }
  const Workspace& workspace() const { return workspace_; }

 private:
  PreparedCase() = default;

  const Case* spec_ = nullptr;
  ParamValues params_;
  AuxSet aux_;
  std::unique_ptr<Plan> plan_;
  Workspace workspace_;
};

/// The exception in flight as an Error. Call it inside a catch block.
Error current_exception_error();

/// The inputs that calls read. Hot: the same tensors again. Cold: copies in turn, enough of them
/// that none is left in the last-level cache when its turn comes.
class InputRotation {
 public:
  /// `hot`, `cold`: what next() will be asked for; with both, the cold ones are all copies, so that
  /// none is warm from hot calls. `tensors` must outlive this. Throws std::bad_alloc.
  InputRotation(const InputTensors& tensors, Layout layout, bool hot, bool cold,
                double last_level_cache_bytes);
  Inputs next(CacheState cache);
  std::size_t copies() const { return views_.size(); }

 private:
  std::vector<InputTensors> copies_;
  std::vector<Inputs> views_;
  std::size_t first_cold_ = 0;
  std::size_t turn_ = 0;
};

/// Reads a word of every cache line of a dense tensor: brings it back into the caches as far as
/// they hold it, for less than a call would cost.
void touch(const float* data, std::size_t count);

}  // namespace attnbench::run
