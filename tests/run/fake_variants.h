// Variants that behave, and variants that do not, for tests of the runner.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attention/variant.h"
#include "kernels/ceilings.h"
#include "plan/plan.h"
#include "run/runner.h"

namespace attnbench::run_test {

/// What a fake does in its calls.
struct Behaviour {
  float offset = 0;                 ///< Added to every output: wrong unless 0.
  bool leaves_last_row = false;     ///< Does not write the last row.
  std::size_t takes_floats = 256;   ///< Of its workspace.
  std::size_t models_floats = 256;  ///< What its cost model says.
  bool unpreparable = false;        ///< prepare() throws bad_alloc.
  int bad_alloc_from = 0;           ///< From this call on (1 is the first) it throws bad_alloc.
  int throws_from = 0;              ///< From this call on it throws a runtime_error.
  const std::atomic<bool>* throws_when = nullptr;  ///< The same while this is set.
  std::atomic<bool>* interrupts = nullptr;         ///< Set in call `interrupts_at`.
  int interrupts_at = 0;
  Exactness exactness = Exactness::exact;
  double reference_offset = 0;             ///< Its definition is softmax attention plus this.
  std::function<double(int)> call_s = {};  ///< Of simulated time, by the number of the call.
  bool unpreparable_again = false;         ///< prepare() throws bad_alloc after the first time.
};

/// Softmax attention, slowly, through a workspace; counts its calls.
class FakeVariant final : public SoftmaxVariant {
 public:
  explicit FakeVariant(std::string name, Behaviour behaviour = {});
  const VariantInfo& info() const override { return info_; }
  std::optional<std::string> unsupported_reason(const Problem&, const ParamValues&) const override {
    return std::nullopt;
  }
  Cost cost(const Problem& problem, const ParamValues&, int threads) const override;
  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues&,
                                        const AuxSet&) const override;
  ReferenceRows reference(const ReferenceRequest& request) const override;

  int calls() const { return *calls_; }
  int references() const { return *references_; }

 private:
  VariantInfo info_;
  Behaviour behaviour_;
  std::shared_ptr<int> calls_ = std::make_shared<int>(0);
  std::shared_ptr<int> prepared_ = std::make_shared<int>(0);
  std::shared_ptr<std::atomic<int>> references_ = std::make_shared<std::atomic<int>>(0);
};

/// A small problem.
Problem small_problem(std::int64_t seq = 8);

/// A case of `variant`; predicted to take a millisecond.
Case make_case(const Variant& variant, int group = 0, int threads = 1, std::int64_t seq = 8);

SweepPlan make_sweep(std::vector<Case> cases);

/// A sweep of a fraction of a second: 7 to 9 rounds of each case.
RunOptions quick_options();

/// Ceilings that nothing reaches.
Ceilings high_ceilings();

/// What a run delivered.
struct Delivered {
  std::vector<Record> rows;
  std::vector<SampleRow> samples;
  RunOutcome outcome;
  int deliveries = 0;

  const Record& row(const std::string& variant) const;
  std::int64_t samples_of(const Record& row) const;
};
Delivered run(const SweepPlan& plan, RunOptions options = quick_options(),
              const Ceilings& ceilings = high_ceilings());

}  // namespace attnbench::run_test
