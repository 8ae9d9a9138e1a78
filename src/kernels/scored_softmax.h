// Softmax attention whose score is a small network on the pair (q, k):
//
//   additive (Bahdanau, Cho, Bengio 2015):  s = v . tanh(Wq q + Wk k + b)
//   two layers:                             s = w3 . tanh(W2 tanh(Wq q + Wk k + b1) + b2)
//
// Wq q + b and Wk k are computed once per query and once per key. Nothing of size Nq x Nk x hidden
// exists: tiles of 64 query lanes go over blocks of 64 keys with an online softmax.
//
// tanh comes from its exponential factors (tanh-inl.h): with E = 2^(2 log2(e) (Wq q + b)) and F the
// same of Wk k, tanh = 1 - 2 / (1 + E F). The constants in this fold into the second layer or
// drop out of the softmax, unless there is a soft cap or a sink. Keys with |Wk k| beyond kKeyReach,
// for which E F could be 0 times infinity, keep their exponents instead, and their pairs go through
// an exponential each.
#pragma once

#include <cstdint>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// |Wk k| in units of ln(2) / 2 up to which a key is kept as powers of two. A query is clamped 29
/// units further out, where tanh(q + k) = +-1 for every such key.
constexpr float kKeyReach = 96.0F;
constexpr float kQueryReach = 125.0F;

/// A row-major matrix whose rows are `stride` floats apart.
struct MatrixRows {
  const float* data = nullptr;
  std::int64_t stride = 0;
};

/// The weights of a score, packed for the kernels (untimed). `outputs` is 0 for one layer.
struct PairScore {
  std::int64_t dim = 0;
  std::int64_t hidden = 0;
  std::int64_t hidden_rows = 0;    ///< hidden, padded to 4 with zeros: E = F = 1.
  std::int64_t hidden_stride = 0;  ///< hidden, padded to 16.
  FloatBuffer query_weights;       ///< [hidden_rows][dim]
  FloatBuffer query_bias;          ///< [hidden_rows]
  FloatBuffer key_weights;         ///< [dim][hidden_stride], Wk transposed
  std::int64_t outputs = 0;
  std::int64_t output_rows = 0;  ///< outputs, padded to 4 with zeros.
  FloatBuffer second;            ///< [output_rows][hidden_rows]
  FloatBuffer second_bias;       ///< [output_rows]
  FloatBuffer weights;           ///< v or w3, padded.
  float constant = 0;            ///< What the last layer's constants add to every logit, base 2.
};

/// Wq and Wk are [hidden][dim], b and v [hidden].
PairScore pack_additive_score(std::int64_t dim, std::int64_t hidden, MatrixRows wq, MatrixRows wk,
                              const float* b, const float* v);
/// Wq and Wk are [hidden][dim], b1 [hidden], W2 [outputs][hidden], b2 and w3 [outputs].
PairScore pack_two_layer_score(std::int64_t dim, std::int64_t hidden, std::int64_t outputs,
                               MatrixRows wq, MatrixRows wk, const float* b1, const float* w2,
                               const float* b2, const float* w3);

/// Attention under the problem's masks, with its soft cap, ALiBi and sink. The workspace holds Wk k
/// for every key.
void pair_score_softmax(const Problem& problem, const PairScore& score, const Inputs& inputs,
                        TensorView output, Workspace& workspace, Executor& executor);

/// What it takes and executes, for cost models; outputs = 0 for one layer. FLOPs include the score
/// of every visited pair: per 4 hidden units of the last layer 4 products E F + 1 and one sum of
/// quotients (22 FLOP), per hidden unit of a first of two layers E F + 1 and a reciprocal (6).
struct PairScoreWork {
  double flops = 0;
  double exps = 0;
  std::size_t workspace_bytes = 0;
};
PairScoreWork pair_score_work(const Problem& problem, std::int64_t hidden, std::int64_t outputs,
                              int threads);

}  // namespace attnbench::kernels
