// One call of a variant on given tensors: its output, its dense weights, its error.
#pragma once

#include <memory>
#include <vector>

#include "attention/executor.h"
#include "attention/inputs.h"
#include "attention/reference.h"
#include "attention/variant.h"

namespace attnbench::cli {

/// A variant with parameters and auxiliary tensors for one problem.
struct EvalCall {
  const Variant* variant = nullptr;
  Problem problem;
  ParamValues params;
  AuxSet aux;
};

/// A prepared plan with the memory it needs; run it as often as you like.
class PreparedCall {
 public:
  /// Errors: unsupported problems, failed preparation. Throws std::bad_alloc.
  static Result<PreparedCall> make(const EvalCall& call, Executor& executor);
  void run(const Inputs& inputs, TensorView output);

 private:
  PreparedCall(std::unique_ptr<Plan> plan, std::size_t workspace_bytes, Executor& executor)
      : plan_(std::move(plan)), workspace_(workspace_bytes), executor_(&executor) {}

  std::unique_ptr<Plan> plan_;
  Workspace workspace_;
  Executor* executor_;
};

/// The output, in the problem's layout. Errors: unsupported problems, failed preparation.
Result<Tensor> run_call(const EvalCall& call, const Inputs& inputs, Executor& executor);

/// The dense weights W [B, Hq, Nq, Nk] with O = W V, as the variant's own kernel computes them: it
/// runs on blocks of columns of the identity in place of V. Unsupported for variants without dense
/// weights. `limit_bytes` bounds the size of W.
Result<std::vector<float>> dense_weights(const EvalCall& call, const InputTensors& tensors,
                                         Executor& executor, double limit_bytes);

/// How far an output is from the float64 references.
struct EvalCheck {
  double tolerance = 0;                 ///< What definition.relative_l2 is held against.
  ErrorFigures definition;              ///< Against the variant's own definition.
  std::optional<ErrorFigures> softmax;  ///< Against softmax attention under the same mask.
  std::optional<double> mean_v;         ///< Error of answering mean(V) instead.
  bool all_rows = true;                 ///< Else a sample of them.
};
/// `executor` lends its threads to the float64 work. The inputs are those of the call.
EvalCheck check_output(const EvalCall& call, const Inputs& inputs, ConstTensorView output,
                       std::uint64_t seed, Executor& executor);

}  // namespace attnbench::cli
