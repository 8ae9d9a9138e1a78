// Variants that are the tiled engine with other scores, and the layer around it: cases worked by
// hand, and identities with variants that share none of their code.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "evaluate.h"

namespace attnbench::testing {
namespace {

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

/// Of one token, attention is the identity: y = x Wv Wo, rows times matrices. x = [1, 2],
/// Wv = [[1, 2], [0, 1]], Wo = [[1, 0], [3, 1]]: v = [1, 4], y = [13, 4].
TEST(Mha, WorkedCaseTellsWeightsFromTheirTransposes) {
  const Tensor x = tensor_of({1, 1, 1, 2}, {1, 2});
  const AuxTensor wv{{2, 2}, {1, 2, 0, 1}, {}, false};
  const AuxTensor wo{{2, 2}, {1, 0, 3, 1}, {}, false};
  const Tensor out = evaluate("mha", one_head(1, 1, 2), {x.view(), x.view(), x.view()},
                              {{"heads", "2"}}, {{"Wv", wv}, {"Wo", wo}});
  EXPECT_NEAR(out.view().at(0, 0, 0, 0), 13, 1e-5);
  EXPECT_NEAR(out.view().at(0, 0, 0, 1), 4, 1e-5);
}

/// The first `columns` columns of the n x n identity.
AuxTensor identity(std::int64_t n, std::int64_t columns) {
  AuxTensor w{{n, columns}, {}, {}, false};
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t c = 0; c < columns; ++c) w.values.push_back(a == c ? 1.0F : 0.0F);
  }
  return w;
}

/// With identities for weights the layer is attention on rows cut into heads, and those rows are
/// the bnhd layout of [B, H, N, D]. With fewer key-value heads, K and V are the first columns.
TEST(Mha, WithIdentitiesIsFullOnHeadsOfTheRows) {
  for (const Problem& problem : problem_grid()) {
    if (problem.dim_v != problem.dim_qk) continue;
    SCOPED_TRACE(problem_name(problem));
    Problem heads = problem;
    heads.layout = Layout::bnhd;
    Problem rows = problem;
    rows.layout = Layout::bhnd;
    rows.heads_q = rows.heads_kv = 1;
    rows.dim_qk = rows.dim_v = heads.heads_q * heads.dim_qk;
    const InputTensors in = draw_inputs(rows, "gaussian", 3);
    const auto cut = [&](const Tensor& x, std::int64_t count) {
      const std::int64_t n = x.shape()[2], d = heads.dim_qk;
      const std::int64_t width = rows.dim_qk;
      return ConstTensorView{x.view().data, {heads.batch, count, n, d}, {n * width, d, width}};
    };
    const Tensor full =
        evaluate("full", heads,
                 {cut(in.q, heads.heads_q), cut(in.k, heads.heads_kv), cut(in.v, heads.heads_kv)});
    const std::int64_t kv_width = heads.heads_kv * heads.dim_qk;
    const Tensor out = evaluate("mha", rows, in.view(), {{"heads", std::to_string(heads.heads_q)}},
                                {{"Wq", identity(rows.dim_qk, rows.dim_qk)},
                                 {"Wk", identity(rows.dim_qk, kv_width)},
                                 {"Wv", identity(rows.dim_qk, kv_width)},
                                 {"Wo", identity(rows.dim_qk, rows.dim_qk)}});
    double difference = 0, norm = 0;
    for (std::size_t at = 0; at < out.buffer().size(); ++at) {
      const double a = static_cast<double>(out.buffer().data()[at]);
      const double b = static_cast<double>(full.buffer().data()[at]);
      difference += (a - b) * (a - b);
      norm += b * b;
    }
    EXPECT_LE(std::sqrt(difference), kSame * std::sqrt(norm));
  }
}

TEST(Mha, GivenWeightsFixTheSizes) {
  const Variant& mha = named("mha");
  const Problem p = one_head(5, 5, 12);
  const auto zeros = [](std::int64_t rows, std::int64_t columns) {
    return AuxTensor{
        {rows, columns}, std::vector<float>(static_cast<std::size_t>(rows * columns)), {}, false};
  };
  ParamValues params = params_of(mha, {{"heads", "4"}});
  ASSERT_TRUE(mha.complete_aux(p, params, {{"Wq", zeros(12, 20)}, {"Wv", zeros(12, 10)}}, 1));
  EXPECT_EQ(params.integer("head-dim"), 5);
  EXPECT_EQ(params.integer("kv-heads"), 2);
  params = params_of(mha, {{"heads", "4"}});
  const auto refused = mha.complete_aux(p, params, {{"Wo", zeros(13, 12)}}, 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("[13, 12]"), std::string::npos);
  params = params_of(mha, {{"heads", "5"}});
  EXPECT_FALSE(mha.complete_aux(p, params, {}, 1)) << "12 is no multiple of 5";
}

/// Heads of a problem are the layer's heads: the same numbers as rows with the heads side by side.
TEST(Mha, HeadsOfAProblemAreRowsSideBySide) {
  for (const Layout layout : {Layout::bhnd, Layout::bnhd}) {
    for (const bool cross : {false, true}) {
      Problem heads;
      heads.batch = 2;
      heads.heads_q = heads.heads_kv = 4;
      heads.seq_q = 70;
      heads.seq_k = cross ? 90 : 70;
      heads.dim_qk = heads.dim_v = 12;
      heads.mode = cross ? Mode::cross : Mode::self;
      heads.layout = layout;
      heads.causal = true;
      const InputTensors in = draw_inputs(heads, "gaussian", 5);
      const auto wide = [&](const Tensor& from) {
        const std::int64_t seq = from.shape()[2];
        Tensor to({2, 1, seq, 48}, Layout::bhnd);
        for (std::int64_t b = 0; b < 2; ++b) {
          for (std::int64_t n = 0; n < seq; ++n) {
            for (std::int64_t c = 0; c < 48; ++c) {
              to.view().at(b, 0, n, c) = from.view().at(b, c / 12, n, c % 12);
            }
          }
        }
        return to;
      };
      const Tensor x = wide(in.q);
      const Tensor x_k = cross ? wide(in.k) : wide(in.q);
      const Tensor x_v = cross ? wide(in.v) : wide(in.q);
      Problem rows = heads;
      rows.heads_q = rows.heads_kv = 1;
      rows.dim_qk = rows.dim_v = 48;
      rows.layout = Layout::bhnd;
      const Tensor expected =
          evaluate("mha", rows, {x.view(), x_k.view(), x_v.view()}, {{"heads", "4"}});
      const Tensor out = wide(evaluate("mha", heads, in.view()));
      EXPECT_LE(relative_difference(out, expected), kSame);
    }
  }
}

/// Fewer key-value heads are shared by groups: with the matrices of one key-value head repeated,
/// the layer is the ungrouped one.
TEST(Mha, GroupedHeadsShareTheirKeyValueHead) {
  Problem grouped;
  grouped.heads_q = 4;
  grouped.heads_kv = 2;
  grouped.seq_q = grouped.seq_k = 33;
  grouped.dim_qk = grouped.dim_v = 8;
  Problem single = grouped;
  single.heads_kv = 4;
  const InputTensors in = draw_inputs(grouped, "gaussian", 7);
  const InputTensors unread = draw_inputs(single, "gaussian", 8);
  const Variant& mha = named("mha");
  ParamValues params = params_of(mha);
  const auto weights = mha.complete_aux(grouped, params, {}, 3);
  ASSERT_TRUE(weights);
  AuxSet repeated = *weights;
  for (const char* name : {"Wk", "Wv"}) {
    const AuxTensor& from = weights->at(name);  // [32, 16]
    AuxTensor to{{32, 32}, {}, {}, false};
    for (std::size_t a = 0; a < 32; ++a) {
      for (std::size_t c = 0; c < 32; ++c)
        to.values.push_back(from.values[a * 16 + c / 16 * 8 + c % 8]);
    }
    repeated[name] = to;
  }
  const Tensor out = evaluate("mha", grouped, in.view(), {}, *weights);
  const Tensor expected =
      evaluate("mha", single, {in.q.view(), unread.k.view(), unread.v.view()}, {}, repeated);
  EXPECT_LE(relative_difference(out, expected), kSame);
}

TEST(Mha, RefusesWhatItsHeadsDoNotAllow) {
  const Variant& mha = named("mha");
  Problem p;
  p.heads_q = p.heads_kv = 4;
  EXPECT_FALSE(mha.unsupported_reason(p, params_of(mha)));
  EXPECT_FALSE(mha.unsupported_reason(p, params_of(mha, {{"heads", "4"}})));
  const auto other = mha.unsupported_reason(p, params_of(mha, {{"heads", "8"}}));
  ASSERT_TRUE(other);
  EXPECT_NE(other->find("the problem has 4"), std::string::npos);
  p.mode = Mode::decode;
  p.seq_q = 1;
  EXPECT_TRUE(mha.unsupported_reason(p, params_of(mha)));
}

/// What a layer says of the attention within it is what flash performs on the same shape.
TEST(Layers, KnowTheirShareOfAttention) {
  Problem p = one_head(300, 300, 32);
  p.heads_q = p.heads_kv = 4;
  p.causal = true;
  const Cost flash = named("flash").cost(p, params_of(named("flash")), 1);
  EXPECT_FALSE(flash.attention_flops);
  for (const char* name : {"mha", "mla"}) {
    SCOPED_TRACE(name);
    const ParamValues params = params_of(named(name), {});
    const Cost layer = named(name).cost(p, params, 1);
    ASSERT_TRUE(layer.attention_flops);
    EXPECT_LT(*layer.attention_flops, layer.performed_flops);
    if (std::string(name) == "mha") {
      EXPECT_DOUBLE_EQ(*layer.attention_flops, flash.performed_flops);
      EXPECT_DOUBLE_EQ(layer.performed_flops - *layer.attention_flops, 4 * 2.0 * 300 * 128 * 128);
    }
  }
}

}  // namespace
}  // namespace attnbench::testing
