#include "run/fake_variants.h"

#include <algorithm>
#include <new>
#include <stdexcept>

#include "attention/reference.h"
#include "run/simulated_clock.h"

namespace attnbench::run_test {
namespace {

class FakePlan final : public Plan {
 public:
  FakePlan(const Problem& problem, const Behaviour& behaviour, std::shared_ptr<int> calls)
      : problem_(problem), behaviour_(behaviour), calls_(std::move(calls)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace, Executor&) override {
    const int call = ++*calls_;
    if (behaviour_.bad_alloc_from > 0 && call >= behaviour_.bad_alloc_from) throw std::bad_alloc();
    if ((behaviour_.throws_from > 0 && call >= behaviour_.throws_from) ||
        (behaviour_.throws_when != nullptr && *behaviour_.throws_when)) {
      throw std::runtime_error("the fake broke");
    }
    if (behaviour_.call_s) pass(behaviour_.call_s(call));
    if (behaviour_.interrupts != nullptr && call == behaviour_.interrupts_at) {
      *behaviour_.interrupts = true;
    }
    if (behaviour_.takes_floats > 0) workspace.take(behaviour_.takes_floats);
    const std::vector<RowIndex> rows = all_rows(problem_);
    const std::vector<double> values = softmax_attention_rows(
        problem_, inputs, rows, [&](std::int64_t b, std::int64_t, std::int64_t i, std::int64_t j) {
          return base_mask_allows(problem_, b, i, j);
        });
    const std::size_t count = behaviour_.leaves_last_row ? rows.size() - 1 : rows.size();
    const auto dim = static_cast<std::size_t>(problem_.dim_v);
    for (std::size_t r = 0; r < count; ++r) {
      float* row = output.row(rows[r].batch, rows[r].head, rows[r].query);
      for (std::size_t d = 0; d < dim; ++d) {
        row[d] = static_cast<float>(values[r * dim + d]) + behaviour_.offset;
      }
    }
  }

 private:
  Problem problem_;
  Behaviour behaviour_;
  std::shared_ptr<int> calls_;
};

}  // namespace

FakeVariant::FakeVariant(std::string name, Behaviour behaviour) : behaviour_(behaviour) {
  info_.name = std::move(name);
  info_.family = "fake";
  info_.exactness = behaviour.exactness;
  info_.laws = {"N^2", "1"};
}

Cost FakeVariant::cost(const Problem& problem, const ParamValues&, int) const {
  Cost cost;
  cost.performed_flops = dense_flops(problem);
  cost.exp_count = allowed_pairs(problem);
  cost.min_bytes = compulsory_bytes(problem);
  cost.traffic_bytes = cost.min_bytes;
  cost.useful_flops = cost.performed_flops;
  cost.workspace_bytes = workspace_take_bytes(behaviour_.models_floats);
  return cost;
}

Result<std::unique_ptr<Plan>> FakeVariant::prepare(const Problem& problem, const ParamValues&,
                                                   const AuxSet&) const {
  const bool again = ++*prepared_ > 1;
  if (behaviour_.unpreparable || (behaviour_.unpreparable_again && again)) throw std::bad_alloc();
  return std::unique_ptr<Plan>(std::make_unique<FakePlan>(problem, behaviour_, calls_));
}

ReferenceRows FakeVariant::reference(const ReferenceRequest& request) const {
  *references_ += static_cast<int>(request.rows.size());
  ReferenceRows rows = SoftmaxVariant::reference(request);
  for (double& value : rows.values) value += behaviour_.reference_offset;
  return rows;
}

Problem small_problem(std::int64_t seq) {
  Problem problem;
  problem.heads_q = problem.heads_kv = 2;
  problem.seq_q = problem.seq_k = seq;
  problem.dim_qk = problem.dim_v = 4;
  return problem;
}

Case make_case(const Variant& variant, int group, int threads, std::int64_t seq) {
  Case spec;
  spec.variant = &variant;
  spec.problem = small_problem(seq);
  spec.threads = threads;
  spec.cost = variant.cost(spec.problem, spec.params, threads);
  spec.laws = variant.info().laws;
  spec.predicted_time_s = 1e-3;
  spec.predicted_bytes = 1e4;
  spec.group = group;
  return spec;
}

SweepPlan make_sweep(std::vector<Case> cases) {
  SweepPlan plan;
  plan.cases = std::move(cases);
  plan.memory_limit_bytes = 1e9;
  return plan;
}

RunOptions quick_options() {
  RunOptions options;
  options.run_id = "test";
  options.config.target_ci = 0.9;
  options.config.budget_s = 30;
  options.config.max_samples = 9;
  return options;
}

Ceilings high_ceilings() {
  Ceilings ceilings;
  for (const int threads : {1, 2}) {
    ceilings.compute.push_back({threads, 1e13, 1e12});
    ceilings.bandwidth.push_back({"memory", 0, threads, 1e12, 1e12});
  }
  return ceilings;
}

const Record& Delivered::row(const std::string& variant) const {
  const auto found = std::ranges::find_if(
      rows, [&](const Record& record) { return record.axes.variant == variant; });
  if (found == rows.end()) throw std::out_of_range("no row of " + variant);
  return *found;
}

std::int64_t Delivered::samples_of(const Record& row) const {
  return std::ranges::count(samples, row.axes.case_id(), &SampleRow::case_id);
}

Delivered run(const SweepPlan& plan, RunOptions options, const Ceilings& ceilings) {
  Delivered delivered;
  options.finished = [&](const std::vector<Record>& rows, const std::vector<SampleRow>& samples) {
    delivered.rows.insert(delivered.rows.end(), rows.begin(), rows.end());
    delivered.samples.insert(delivered.samples.end(), samples.begin(), samples.end());
    ++delivered.deliveries;
  };
  delivered.outcome = run_sweep(plan, ceilings, options);
  return delivered;
}

}  // namespace attnbench::run_test
