// The interface of an attention variant. One file in variants/ implements and registers it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attention/aux_tensor.h"
#include "attention/executor.h"
#include "attention/params.h"
#include "attention/problem.h"
#include "attention/result.h"
#include "attention/tensor.h"

namespace attnbench {

/// How a variant's function relates to softmax attention.
enum class Exactness {
  exact,             ///< The same function.
  exact_under_mask,  ///< Softmax attention under a mask that the variant declares.
  approximate,       ///< Approximates softmax attention; its error is a recorded figure.
  different,         ///< Another function.
};
std::string_view to_string(Exactness exactness);

/// Growth in the sequence length N, as written in the tool's output: "1", "N", "N log N", "N^1.5",
/// "N^2", "N^3".
struct GrowthLaws {
  std::string time;
  std::string workspace;
};

/// Which of a problem's changes to rows and logits a variant takes.
struct ScoreOptions {
  std::vector<Position> positions = {};  ///< Beside `none`.
  bool softcap = false;
  bool sink = false;

  /// Everything that is defined for softmax over scale q.k.
  static ScoreOptions all() {
    return {{Position::sinusoidal, Position::rope, Position::alibi}, true, true};
  }
};

/// Everything about a variant that does not depend on a problem.
struct VariantInfo {
  std::string name;
  std::string family;   ///< softmax, local, sparse, low-rank, kernel, ...
  std::string summary;  ///< One line.
  std::string formula;  ///< Plain text; may span lines.
  std::string source;   ///< Authors, year, title, section or equation.
  Exactness exactness = Exactness::exact;
  GrowthLaws laws;  ///< At default parameters.
  std::vector<ParamSpec> params;
  std::vector<AuxSpec> aux;
  bool has_scale = true;          ///< Accepts Problem::scale.
  bool has_dense_weights = true;  ///< O = W V for some W that does not depend on V.
  ScoreOptions takes = {};
  bool takes_mask = false;             ///< Accepts Problem::mask, a mask from a file.
  std::string_view mask_refusal = {};  ///< Why it does not, where there is a reason to tell.
};

/// What one call costs, by definition and by implementation (docs/csv_schema.md).
struct Cost {
  double performed_flops = 0;  ///< Matrix products executed, executed masked work included.
  double exp_count = 0;        ///< exp (and friends) evaluated, executed masked ones included.
  /// The parts of performed_flops and exp_count that are done in float64: a vector holds half as
  /// many, so that the machine does half as many in a second.
  double float64_flops = 0, float64_exps = 0;
  double min_bytes = 0;      ///< Inputs read once, output written once.
  double traffic_bytes = 0;  ///< min_bytes plus what the definition materialises and reads back.
  std::optional<double> useful_flops;  ///< Dense softmax attention on the same problem.
  /// Of a whole layer: the part of performed_flops that is attention, its two matrix products.
  std::optional<double> attention_flops;
  std::size_t workspace_bytes = 0;  ///< Exactly what run() takes from its Workspace.

  /// Seconds of the arithmetic alone at a machine's float32 rates, half of which float64 has.
  double compute_time_s(double flops_per_s, double exp_per_s) const {
    return (performed_flops + float64_flops) / flops_per_s + (exp_count + float64_exps) / exp_per_s;
  }
};

/// A row of the output: batch row, query head, query.
struct RowIndex {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t query = 0;
};

/// A float64 evaluation request for some rows of the output.
struct ReferenceRequest {
  const Problem& problem;
  const ParamValues& params;
  const AuxSet& aux;
  Inputs inputs;
  std::span<const RowIndex> rows;
};

/// Values of the requested rows, [rows][Dv]; rows whose discrete choice is too close to call are
/// marked so that comparisons leave them out.
struct ReferenceRows {
  std::vector<double> values;
  std::vector<bool> undecided;  ///< Empty when every row is decided.
};

/// A prepared call: draws, masks and packed weights are done; run() does all that depends on
/// Q, K, V. Not thread safe: one run at a time.
class Plan {
 public:
  virtual ~Plan() = default;
  /// Computes `output` from `inputs` on executor.threads() threads. The shapes are those of the
  /// problem that the plan was prepared for; the workspace has at least Cost::workspace_bytes.
  virtual void run(const Inputs& inputs, TensorView output, Workspace& workspace,
                   Executor& executor) = 0;
};

/// An attention mechanism. Stateless and immutable; all methods are thread safe.
class Variant {
 public:
  virtual ~Variant() = default;
  virtual const VariantInfo& info() const = 0;

  /// Nothing when the variant can run this, else the reason why not.
  virtual std::optional<std::string> unsupported_reason(const Problem& problem,
                                                        const ParamValues& params) const = 0;
  /// The same with what info() decides; what callers ask.
  std::optional<std::string> refusal(const Problem& problem, const ParamValues& params) const;
  /// Cost of one call on `threads` threads. Only for supported problems.
  virtual Cost cost(const Problem& problem, const ParamValues& params, int threads) const = 0;
  /// Growth laws at these parameters; the default is info().laws.
  virtual GrowthLaws laws(const ParamValues& params) const;
  /// The same on a problem: copies of placed rows grow as N; a decoding step, whose N is the length
  /// of the cache, has one row of a square.
  GrowthLaws laws_on(const Problem& problem, const ParamValues& params) const;

  /// Checks the given auxiliary tensors and draws the missing ones from `seed`. A given tensor
  /// fixes the sizes: parameters that it implies are written back into `params`. The default
  /// accepts none.
  virtual Result<AuxSet> complete_aux(const Problem& problem, ParamValues& params, AuxSet given,
                                      std::uint64_t seed) const;

  /// Untimed preparation. `aux` comes from complete_aux.
  virtual Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                                const AuxSet& aux) const = 0;

  /// This variant's own definition in float64, written for clarity and shared with no kernel.
  virtual ReferenceRows reference(const ReferenceRequest& request) const = 0;

  /// The mask under which softmax attention is compared with this variant (the `error_*` columns),
  /// beside the problem's mask from a file; the default is the problem's base mask.
  virtual bool allows(const Problem& problem, const ParamValues& params, std::int64_t b,
                      std::int64_t h, std::int64_t i, std::int64_t j) const;

  /// Whether that mask depends on Q and K, which allows() does not see: the yardstick is then
  /// reference() itself.
  virtual bool chooses_keys() const { return false; }

  /// Conformance bound on definition_rel_l2 for logits up to 100 in size.
  virtual double definition_tolerance() const { return 1e-5; }
};

/// Base of variants that are softmax attention under allows().
class SoftmaxVariant : public Variant {
 public:
  ReferenceRows reference(const ReferenceRequest& request) const override;
};

}  // namespace attnbench
