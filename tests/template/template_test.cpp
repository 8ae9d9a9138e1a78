// The template of CONTRIBUTING.md is a working variant: found through the registry, it agrees with
// its reference, and disagrees where it must.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "attention/reference.h"
#include "attention/registry.h"
#include "kernels/arena.h"

namespace attnbench {

/// Names the cases of the suites below.
void PrintTo(const Problem& problem, std::ostream* out) { *out << problem.describe(); }

namespace {

class Template : public testing::TestWithParam<Problem> {
 protected:
  const Variant* variant_ = Registry::instance().find("template-band");

  ParamValues params(const std::string& width) const {
    return resolve_params("template-band", variant_->info().params, {{"width", width}}).value();
  }

  /// Runs the variant on two threads and compares it with float64 rows.
  ErrorFigures error_of(const Problem& problem, const ParamValues& values,
                        const ReferenceRows& expected, const std::vector<RowIndex>& rows) const {
    const InputTensors inputs = draw_inputs(problem, "gaussian", 1);
    kernels::ThreadArena arena(2);
    Workspace workspace(variant_->cost(problem, values, arena.threads()).workspace_bytes);
    Tensor output({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
    const auto plan = variant_->prepare(problem, values, AuxSet{});
    EXPECT_TRUE(plan);
    (*plan)->run(inputs.view(), output.view(), workspace, arena);
    EXPECT_EQ(workspace.peak_bytes(), workspace.capacity_bytes());
    return compare_rows(output.view(), rows, expected);
  }
};

TEST_P(Template, AgreesWithItsReference) {
  ASSERT_NE(variant_, nullptr);
  const Problem problem = GetParam();
  const ParamValues values = params("5");
  ASSERT_FALSE(variant_->unsupported_reason(problem, values));
  const InputTensors inputs = draw_inputs(problem, "gaussian", 1);
  const AuxSet aux;
  const std::vector<RowIndex> rows = all_rows(problem);
  const ReferenceRows expected = variant_->reference({problem, values, aux, inputs.view(), rows});
  EXPECT_LE(error_of(problem, values, expected, rows).relative_l2,
            variant_->definition_tolerance());
}

TEST_P(Template, DiffersFromFullAttentionUnlessTheBandCoversAll) {
  ASSERT_NE(variant_, nullptr);
  const Problem problem = GetParam();
  const InputTensors inputs = draw_inputs(problem, "gaussian", 1);
  const std::vector<RowIndex> rows = all_rows(problem);
  const ReferenceRows full{
      softmax_attention_rows(problem, inputs.view(), rows,
                             [&](std::int64_t b, std::int64_t, std::int64_t i, std::int64_t j) {
                               return base_mask_allows(problem, b, i, j);
                             }),
      {}};
  EXPECT_GT(error_of(problem, params("1"), full, rows).relative_l2, 0.01);
  EXPECT_LE(error_of(problem, params("1000"), full, rows).relative_l2, 1e-5);
}

Problem make_problem(std::int64_t heads_q, std::int64_t heads_kv, std::int64_t seq_q,
                     std::int64_t seq_k) {
  Problem problem;
  problem.heads_q = heads_q;
  problem.heads_kv = heads_kv;
  problem.seq_q = seq_q;
  problem.seq_k = seq_k;
  return problem;
}

std::vector<Problem> problems() {
  const Problem plain = make_problem(2, 2, 97, 97);
  const Problem cross = make_problem(2, 1, 33, 70);
  Problem grouped = make_problem(4, 2, 65, 65);
  grouped.batch = 2;
  grouped.dim_v = 24;
  grouped.causal = true;
  return {plain, grouped, cross};
}

INSTANTIATE_TEST_SUITE_P(Problems, Template, testing::ValuesIn(problems()));

}  // namespace
}  // namespace attnbench
