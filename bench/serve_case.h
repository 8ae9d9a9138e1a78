// One attention call that is kept ready: what a request asked for, prepared, verified and timed on
// demand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "attention/registry.h"
#include "attention/variant.h"
#include "kernels/arena.h"

namespace attnbench::bench {

/// What a case computes.
struct CaseSpec {
  std::string variant;
  Problem problem;
  int threads = 1;
  std::string input = "gaussian";
  std::uint64_t seed = 1;
  std::map<std::string, std::string> params;
};

/// Seconds of a number of calls in a row, all of them together.
struct Elapsed {
  double wall_s = 0;
  double cpu_s = 0;  ///< Of the whole process.
};

/// Hands out the arena of a thread count. Only one is alive at a time: TBB limits all arenas of a
/// process to the smallest of their parallelisms.
class Arenas {
 public:
  kernels::ThreadArena& at(int threads);

 private:
  std::unique_ptr<kernels::ThreadArena> arena_;
};

/// Inputs and outputs by problem, shared by the cases that are alive: variants that are compared
/// read the same memory, and a large problem is held once.
class TensorPool {
 public:
  std::shared_ptr<InputTensors> inputs(const CaseSpec& spec);
  std::shared_ptr<Tensor> output(const CaseSpec& spec);

 private:
  std::map<std::string, std::weak_ptr<InputTensors>> inputs_;
  std::map<std::string, std::weak_ptr<Tensor>> outputs_;
};

/// How far the output is from the variant's own definition in float64, on a sample of rows.
struct Check {
  double relative_l2 = 0;
  double tolerance = 0;
  std::int64_t rows = 0;  ///< Undecided ones left out.
  bool passed() const { return rows > 0 && relative_l2 <= tolerance; }
};

class PreparedCase {
 public:
  /// Draws the auxiliary tensors, makes the plan, takes the workspace. Errors: unknown variant or
  /// parameter (usage), a problem that the variant does not define (unsupported). Throws
  /// std::bad_alloc.
  static Result<std::unique_ptr<PreparedCase>> make(const CaseSpec& spec, TensorPool& tensors);

  /// `warm` calls that are not timed, then `iterations` that are.
  Elapsed time(std::int64_t iterations, std::int64_t warm, Executor& executor);
  /// Runs once and compares at most `rows` rows.
  Check check(std::int64_t rows, Executor& executor);

  const CaseSpec& spec() const { return spec_; }
  const Cost& cost() const { return cost_; }
  /// The parameters in effect, "k=v;k=v".
  std::string params_text() const { return params_.canonical(); }
  std::size_t workspace_peak_bytes() const { return workspace_.peak_bytes(); }

 private:
  PreparedCase() = default;
  void call(Executor& executor);

  CaseSpec spec_;
  const Variant* variant_ = nullptr;
  ParamValues params_;
  AuxSet aux_;
  Cost cost_;
  std::unique_ptr<Plan> plan_;
  Workspace workspace_;
  std::shared_ptr<InputTensors> inputs_;
  std::shared_ptr<Tensor> output_;
};

}  // namespace attnbench::bench
