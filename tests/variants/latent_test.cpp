// Multi-head latent attention: both executions are one function, which is mha where nothing is
// compressed, and a decoding step is the last row of the whole sequence.
#include <gtest/gtest.h>

#include "attention/rotation.h"
#include "attention/weight_matrices.h"
#include "evaluate.h"

namespace attnbench::testing {
namespace {

Problem layer_problem(std::int64_t seq, bool causal) {
  Problem p;
  p.batch = 2;
  p.heads_q = p.heads_kv = 3;
  p.seq_q = p.seq_k = seq;
  p.dim_qk = 8;
  p.dim_v = 8;
  p.causal = causal;
  return p;
}

AuxTensor identity(std::int64_t n) {
  AuxTensor w{{n, n}, std::vector<float>(static_cast<std::size_t>(n * n)), {}, false};
  for (std::int64_t a = 0; a < n; ++a) w.values[static_cast<std::size_t>(a * n + a)] = 1;
  return w;
}

TEST(Mla, AbsorbedIsDecompressed) {
  for (const Problem& problem : problem_grid()) {
    if (named("mla").refusal(problem, params_of(named("mla")))) continue;
    SCOPED_TRACE(problem_name(problem));
    const InputTensors in = draw_inputs(problem, "gaussian", 3);
    for (const char* rank : {"0", "11"}) {
      const auto run = [&](const char* execution) {
        return evaluate("mla", problem, in.view(), {{"execution", execution}, {"q-rank", rank}});
      };
      EXPECT_LE(relative_difference(run("absorbed"), run("decompressed")), 1e-5);
    }
  }
}

/// With a latent as wide as the token, the identity for W_DKV and no rotated part, k = x W_UK.
TEST(Mla, WithoutCompressionIsMha) {
  for (const bool causal : {false, true}) {
    const Problem p = layer_problem(70, causal);
    const InputTensors in = draw_inputs(p, "gaussian", 4);
    ParamValues params = params_of(named("mha"));
    const auto mha = named("mha").complete_aux(p, params, {}, 9);
    ASSERT_TRUE(mha);
    const AuxSet weights{{"W_DKV", identity(24)},
                         {"W_Q", mha->at("Wq")},
                         {"W_UK", mha->at("Wk")},
                         {"W_UV", mha->at("Wv")},
                         {"W_O", mha->at("Wo")}};
    const Tensor expected = evaluate("mha", p, in.view(), {}, *mha);
    for (const char* execution : {"absorbed", "decompressed"}) {
      const Tensor out =
          evaluate("mla", p, in.view(), {{"rope-dim", "0"}, {"execution", execution}}, weights);
      EXPECT_LE(relative_difference(out, expected), kSame) << execution;
    }
  }
}

TEST(Mla, AnIdentityForQueryCompressionChangesNothing) {
  const Problem p = layer_problem(40, true);
  const InputTensors in = draw_inputs(p, "gaussian", 5);
  const Variant& mla = named("mla");
  ParamValues params = params_of(mla);
  const auto plain = mla.complete_aux(p, params, {}, 2);
  ASSERT_TRUE(plain);
  AuxSet compressed = *plain;
  compressed["W_UQ"] = compressed.at("W_Q");
  compressed.erase("W_Q");
  compressed["W_DQ"] = identity(24);
  EXPECT_LE(relative_difference(evaluate("mla", p, in.view(), {}, compressed),
                                evaluate("mla", p, in.view(), {}, *plain)),
            kSame);
}

/// The latents and rotated keys of all tokens but the last as a cache, and the last as the query.
TEST(Mla, ADecodingStepIsTheLastRowOfTheSequence) {
  constexpr std::int64_t kSeq = 45, kRank = 32, kRope = 4;
  const Problem whole = layer_problem(kSeq, true);
  const InputTensors in = draw_inputs(whole, "gaussian", 6);
  const Variant& mla = named("mla");
  ParamValues params = params_of(mla);
  const auto weights = mla.complete_aux(whole, params, {}, 2);
  ASSERT_TRUE(weights);
  const Tensor all = evaluate("mla", whole, in.view(), {}, *weights);

  Problem step = whole;
  step.mode = Mode::decode;
  step.seq_q = 1;
  AuxSet given = *weights;
  AuxTensor latents{{2, kSeq - 1, kRank}, {}, {}, false}, keys{{2, kSeq - 1, kRope}, {}, {}, false};
  Tensor last({2, 3, 1, 8}, Layout::bhnd), expected({2, 3, 1, 8}, Layout::bhnd);
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t n = 0; n < kSeq; ++n) {
      std::vector<double> x;
      for (std::int64_t h = 0; h < 3; ++h) {
        const float* row = in.q.view().row(b, h, n);
        x.insert(x.end(), row, row + 8);
        if (n < kSeq - 1) continue;
        std::copy_n(row, 8, last.view().row(b, h, 0));
        std::copy_n(all.view().row(b, h, n), 8, expected.view().row(b, h, 0));
      }
      if (n == kSeq - 1) continue;
      for (const double c : row_times64(x, weights->at("W_DKV"))) {
        latents.values.push_back(static_cast<float>(c));
      }
      for (const double k : rotated64(row_times64(x, weights->at("W_KR")), n)) {
        keys.values.push_back(static_cast<float>(k));
      }
    }
  }
  given["cache_c"] = latents;
  given["cache_kr"] = keys;
  for (const char* execution : {"auto", "decompressed"}) {
    const Tensor out = evaluate("mla", step, {last.view(), in.k.view(), in.v.view()},
                                {{"execution", execution}}, given);
    EXPECT_LE(relative_difference(out, expected), kSame) << execution;
  }
}

TEST(Mla, GivenWeightsFixTheRanksAndWrongOnesAreRefused) {
  const Variant& mla = named("mla");
  const Problem p = layer_problem(5, false);
  const auto zeros = [](std::int64_t rows, std::int64_t columns) {
    return AuxTensor{
        {rows, columns}, std::vector<float>(static_cast<std::size_t>(rows * columns)), {}, false};
  };
  ParamValues params = params_of(mla);
  ASSERT_TRUE(mla.complete_aux(
      p, params, {{"W_DKV", zeros(24, 10)}, {"W_DQ", zeros(24, 7)}, {"W_KR", zeros(24, 6)}}, 1));
  EXPECT_EQ(params.integer("kv-rank"), 10);
  EXPECT_EQ(params.integer("q-rank"), 7);
  EXPECT_EQ(params.integer("rope-dim"), 6);
  params = params_of(mla);
  const auto refused = mla.complete_aux(p, params, {{"W_O", zeros(23, 24)}}, 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("[23, 24]"), std::string::npos);
  EXPECT_TRUE(mla.unsupported_reason(p, params_of(mla, {{"rope-dim", "3"}})));
  Problem grouped = p;
  grouped.heads_kv = 1;
  EXPECT_TRUE(mla.unsupported_reason(grouped, params_of(mla)));
}

}  // namespace
}  // namespace attnbench::testing
