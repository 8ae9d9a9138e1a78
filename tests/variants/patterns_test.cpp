// Variants that are the tiled engine under another score or another pattern: cases worked by hand,
// and identities with variants that share none of their code.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "conformance.h"

namespace attnbench::testing {
namespace {

constexpr double kSame = 3e-6;  // Two float32 evaluations of one function on up to 300 keys.

const Variant& named(const std::string& name) { return *Registry::instance().find(name); }

Problem one_head(std::int64_t seq_q, std::int64_t seq_k, std::int64_t dim) {
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.seq_q = seq_q;
  p.seq_k = seq_k;
  p.dim_qk = p.dim_v = dim;
  p.mode = seq_q == seq_k ? Mode::self : Mode::cross;
  return p;
}

/// A dense bhnd tensor with these values.
Tensor tensor_of(const std::array<std::int64_t, 4>& shape, const std::vector<float>& values) {
  Tensor tensor(shape, Layout::bhnd);
  std::copy(values.begin(), values.end(), tensor.buffer().data());
  return tensor;
}

/// Runs on given inputs, checks them against the definition too, and returns the output.
Tensor evaluate(const std::string& name, const Problem& problem, const Inputs& inputs,
                const std::map<std::string, std::string>& given = {}, AuxSet aux = {}) {
  const Variant& variant = named(name);
  ParamValues params = params_of(variant, given);
  auto completed = variant.complete_aux(problem, params, std::move(aux), 1);
  EXPECT_TRUE(completed) << (completed ? "" : completed.error().message);
  auto plan = variant.prepare(problem, params, *completed);
  EXPECT_TRUE(plan);
  Tensor out({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
  Workspace workspace(variant.cost(problem, params, 2).workspace_bytes);
  kernels::ThreadArena arena(2);
  (*plan)->run(inputs, out.view(), workspace, arena);
  const auto rows = all_rows(problem);
  const auto expected = variant.reference({problem, params, *completed, inputs, rows});
  EXPECT_LE(compare_rows(out.view(), rows, expected).relative_l2, variant.definition_tolerance());
  return out;
}

void scale_in_place(Tensor& tensor, float factor) {
  for (float& x : tensor.buffer().span()) x *= factor;
}

AuxTensor matrix(std::int64_t n, const std::function<float(std::int64_t, std::int64_t)>& at) {
  AuxTensor w{{n, n}, {}, {}, false};
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t c = 0; c < n; ++c) w.values.push_back(at(a, c));
  }
  return w;
}

/// q = [1, 2], keys [2, 1] and [1, 0]: logits 4 and 1, weights e^4 / (e^4 + e) = 0.95257 and
/// 0.04743; with values [1, 1] and [2, 0] the context is [1.04743, 0.95257].
TEST(Dot, WorkedCase) {
  const Problem p = one_head(1, 2, 2);
  const Tensor q = tensor_of({1, 1, 1, 2}, {1, 2});
  const Tensor k = tensor_of({1, 1, 2, 2}, {2, 1, 1, 0});
  const Tensor v = tensor_of({1, 1, 2, 2}, {1, 1, 2, 0});
  const Tensor out = evaluate("dot", p, {q.view(), k.view(), v.view()});
  const double e4 = std::exp(4.0), e1 = std::exp(1.0);
  EXPECT_NEAR(e4 / (e4 + e1), 0.95257, 5e-6);
  EXPECT_NEAR(out.view().at(0, 0, 0, 0), 1.04743, 5e-6);
  EXPECT_NEAR(out.view().at(0, 0, 0, 1), 0.95257, 5e-6);
  // The weights themselves: values that are the unit vectors.
  const Tensor unit = tensor_of({1, 1, 2, 2}, {1, 0, 0, 1});
  const Tensor weights = evaluate("dot", p, {q.view(), k.view(), unit.view()});
  EXPECT_NEAR(weights.view().at(0, 0, 0, 0), 0.95257, 5e-6);
  EXPECT_NEAR(weights.view().at(0, 0, 0, 1), 0.04743, 5e-6);
}

/// Logits that differ by ln 4 give the weights 0.8 and 0.2, whose context on [1, 1] and [2, 0] is
/// [1.2, 0.8].
TEST(Dot, WeightsOfFourToOne) {
  const Tensor q = tensor_of({1, 1, 1, 2}, {std::log(4.0F), 0});
  const Tensor k = tensor_of({1, 1, 2, 2}, {1, 0, 0, 1});
  const Tensor v = tensor_of({1, 1, 2, 2}, {1, 1, 2, 0});
  const Tensor out = evaluate("dot", one_head(1, 2, 2), {q.view(), k.view(), v.view()});
  EXPECT_NEAR(out.view().at(0, 0, 0, 0), 1.2, 1e-6);
  EXPECT_NEAR(out.view().at(0, 0, 0, 1), 0.8, 1e-6);
}

TEST(Dot, OfQueriesOverRootDIsFull) {
  for (const Problem& problem : problem_grid()) {
    if (problem.scale) continue;
    SCOPED_TRACE(problem_name(problem));
    InputTensors in = draw_inputs(problem, "gaussian", 3);
    const Tensor full = evaluate("full", problem, in.view());
    EXPECT_TRUE(problem.seq_k == 1 ||
                relative_difference(evaluate("dot", problem, in.view()), full) > 1e-3 ||
                problem.dim_qk == 1)
        << "unscaled is another function";
    scale_in_place(in.q, 1 / std::sqrt(static_cast<float>(problem.dim_qk)));
    EXPECT_LE(relative_difference(evaluate("dot", problem, in.view()), full), kSame);
  }
}

/// q^T W k with an asymmetric W: q = [1, 2], W = [[1, 2], [0, 1]], q W = [1, 4]; keys [1, 0] and
/// [0, 1] have logits 1 and 4. The transpose would give 5 and 2.
TEST(Bilinear, WorkedCaseTellsWFromItsTranspose) {
  const Tensor q = tensor_of({1, 1, 1, 2}, {1, 2});
  const Tensor unit = tensor_of({1, 1, 2, 2}, {1, 0, 0, 1});
  const AuxTensor w{{2, 2}, {1, 2, 0, 1}, {}, false};
  const Tensor out =
      evaluate("bilinear", one_head(1, 2, 2), {q.view(), unit.view(), unit.view()}, {}, {{"W", w}});
  EXPECT_NEAR(out.view().at(0, 0, 0, 0), 0.04743, 5e-6);
  EXPECT_NEAR(out.view().at(0, 0, 0, 1), 0.95257, 5e-6);
}

TEST(Bilinear, WithTheIdentityOverRootDIsFull) {
  for (const Problem& problem : problem_grid()) {
    if (problem.scale) continue;
    SCOPED_TRACE(problem_name(problem));
    const InputTensors in = draw_inputs(problem, "gaussian", 3);
    const float diagonal = 1 / std::sqrt(static_cast<float>(problem.dim_qk));
    const AuxTensor w = matrix(
        problem.dim_qk, [&](std::int64_t a, std::int64_t c) { return a == c ? diagonal : 0.0F; });
    EXPECT_LE(relative_difference(evaluate("bilinear", problem, in.view(), {}, {{"W", w}}),
                                  evaluate("full", problem, in.view())),
              kSame);
  }
}

TEST(Bilinear, RefusesAWOfAnotherShape) {
  ParamValues params = params_of(named("bilinear"));
  const AuxTensor w{{3, 2}, {1, 2, 0, 1, 0, 0}, {}, false};
  const auto aux = named("bilinear").complete_aux(one_head(1, 2, 2), params, {{"W", w}}, 1);
  ASSERT_FALSE(aux);
  EXPECT_NE(aux.error().message.find("[3, 2]"), std::string::npos) << aux.error().message;
  EXPECT_NE(aux.error().message.find("[2, 2]"), std::string::npos) << aux.error().message;
}

/// The cosine does not depend on lengths: rows of any magnitude, even those whose squares leave the
/// range of float32, give the weights of unit rows; q = [3, 4], keys along [1, 0], [0, 1] and a
/// zero key have cosines 0.6, 0.8 and 0.
TEST(Content, DependsOnDirectionsAlone) {
  const Problem p = one_head(1, 3, 4);
  const Tensor v = tensor_of({1, 1, 3, 4}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0});
  for (float length : {1.0F, 1e-39F, 1e-30F, 1e30F}) {
    SCOPED_TRACE(length);
    const Tensor q = tensor_of({1, 1, 1, 4}, {3 * length, 4 * length, 0, 0});
    const Tensor k = tensor_of({1, 1, 3, 4}, {2 * length, 0, 0, 0, 0, length, 0, 0, 0, 0, 0, 0});
    for (double beta : {1.0, 10.0}) {
      const Tensor out = evaluate("content", p, {q.view(), k.view(), v.view()},
                                  {{"sharpness", std::to_string(beta)}});
      const double sum = std::exp(0.6 * beta) + std::exp(0.8 * beta) + 1;
      EXPECT_NEAR(out.view().at(0, 0, 0, 0), std::exp(0.6 * beta) / sum, 2e-5);
      EXPECT_NEAR(out.view().at(0, 0, 0, 1), std::exp(0.8 * beta) / sum, 2e-5);
      EXPECT_NEAR(out.view().at(0, 0, 0, 2), 1 / sum, 2e-5);
    }
  }
}

TEST(Content, IsDotOfUnitRows) {
  const Problem p = one_head(70, 90, 24);
  InputTensors in = draw_inputs(p, "gaussian", 5);
  const Tensor content = evaluate("content", p, in.view(), {{"sharpness", "7"}});
  EXPECT_GT(relative_difference(evaluate("dot", p, in.view()), content), 1e-2);
  for (Tensor* tensor : {&in.q, &in.k}) {
    for (std::int64_t n = 0; n < tensor->shape()[2]; ++n) {
      float* row = tensor->view().row(0, 0, n);
      double square = 0;
      for (std::int64_t d = 0; d < 24; ++d) square += std::pow(static_cast<double>(row[d]), 2);
      const double factor = (tensor == &in.q ? 7 : 1) / std::sqrt(square);
      for (std::int64_t d = 0; d < 24; ++d) row[d] = static_cast<float>(factor * row[d]);
    }
  }
  EXPECT_LE(relative_difference(evaluate("dot", p, in.view()), content), kSame);
}

}  // namespace
}  // namespace attnbench::testing
