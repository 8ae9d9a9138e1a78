#include <algorithm>
#include <numbers>

#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/scored_softmax_pairs.h"

namespace attnbench::kernels {
namespace {

/// tanh(x) = 1 - 2 / (1 + 2^(kBase2 x)).
constexpr double kBase2 = 2 * std::numbers::log2e;

std::int64_t padded(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

FloatBuffer zeros(std::int64_t count) {
  FloatBuffer buffer(static_cast<std::size_t>(count));
  std::ranges::fill(buffer.span(), 0.0F);
  return buffer;
}

float times(double factor, float x) { return static_cast<float>(factor * static_cast<double>(x)); }

/// The layer that both scores start with, its outputs in units of 1 / kBase2.
PairScore pack_first_layer(std::int64_t dim, std::int64_t hidden, MatrixRows wq, MatrixRows wk,
                           const float* b) {
  PairScore s;
  s.dim = dim;
  s.hidden = hidden;
  s.hidden_rows = padded(hidden, 4);
  s.hidden_stride = padded(hidden, 16);
  s.query_weights = zeros(s.hidden_rows * dim);
  s.query_bias = zeros(s.hidden_rows);
  s.key_weights = zeros(dim * s.hidden_stride);
  for (std::int64_t a = 0; a < hidden; ++a) {
    s.query_bias.data()[a] = times(kBase2, b[a]);
    for (std::int64_t d = 0; d < dim; ++d) {
      s.query_weights.data()[a * dim + d] = times(kBase2, wq.data[a * wq.stride + d]);
      s.key_weights.data()[d * s.hidden_stride + a] = times(kBase2, wk.data[a * wk.stride + d]);
    }
  }
  return s;
}

/// v tanh = v - 2 v / (1 + 2^w): these are the quotients' weights, for logits in base 2.
FloatBuffer pack_weights(const float* v, std::int64_t count) {
  FloatBuffer weights = zeros(padded(count, 4));
  for (std::int64_t a = 0; a < count; ++a) weights.data()[a] = times(kBase2, v[a]);
  return weights;
}

/// The constants.
float sum_of_weights(const float* v, std::int64_t count) {
  double sum = 0;
  for (std::int64_t a = 0; a < count; ++a) sum += static_cast<double>(v[a]);
  return static_cast<float>(sum * std::numbers::log2e);
}

/// Workspace for the keys: [B, Hkv, Nk] rows of hidden_stride floats, and their reach.
std::size_t key_rows(const Problem& p) {
  return static_cast<std::size_t>(p.batch * p.heads_kv * p.seq_k);
}

}  // namespace

PairScore pack_additive_score(std::int64_t dim, std::int64_t hidden, MatrixRows wq, MatrixRows wk,
                              const float* b, const float* v) {
  PairScore s = pack_first_layer(dim, hidden, wq, wk, b);
  s.weights = pack_weights(v, hidden);
  s.constant = sum_of_weights(v, hidden);
  return s;
}

PairScore pack_two_layer_score(std::int64_t dim, std::int64_t hidden, std::int64_t outputs,
                               MatrixRows wq, MatrixRows wk, const float* b1, const float* w2,
                               const float* b2, const float* w3) {
  PairScore s = pack_first_layer(dim, hidden, wq, wk, b1);
  s.outputs = outputs;
  s.output_rows = padded(outputs, 4);
  s.second = zeros(s.output_rows * s.hidden_rows);
  s.second_bias = zeros(s.output_rows);
  s.weights = pack_weights(w3, outputs);
  s.constant = sum_of_weights(w3, outputs);
  for (std::int64_t r = 0; r < outputs; ++r) {
    // W2 (1 - 2 R) + b2 with R = 1 / (1 + E F).
    double bias = static_cast<double>(b2[r]);
    for (std::int64_t a = 0; a < hidden; ++a) {
      bias += static_cast<double>(w2[r * hidden + a]);
      s.second.data()[r * s.hidden_rows + a] = times(-2 * kBase2, w2[r * hidden + a]);
    }
    s.second_bias.data()[r] = static_cast<float>(kBase2 * bias);
  }
  return s;
}

void pair_score_softmax(const Problem& p, const PairScore& score, const Inputs& inputs,
                        TensorView output, Workspace& workspace, Executor& executor) {
  const WindowPattern base = base_pattern(p);
  const ProblemPattern pattern(p, base);
  const ProblemShaping shaping(p);
  const auto stride = static_cast<std::size_t>(score.hidden_stride);
  float* keys = workspace.take(key_rows(p) * stride);
  float* reach = workspace.take(key_rows(p));
  const auto scratch =
      take_per_thread(workspace, pair_tile_floats(p.dim_qk, p.dim_v, score.hidden, score.outputs),
                      executor.threads());
  const std::int64_t blocks = (p.seq_k + kKeyBlock - 1) / kKeyBlock;
  executor.parallel_for(p.batch * p.heads_kv * blocks, [&](std::int64_t index, int) {
    const std::int64_t head = index / blocks;
    const std::int64_t b = head / p.heads_kv;
    const std::int64_t begin = index % blocks * kKeyBlock;
    const std::int64_t count = std::min<std::int64_t>(kKeyBlock, p.key_length(b) - begin);
    if (count <= 0) return;
    const std::int64_t row = head * p.seq_k + begin;
    project_pair_keys(score, inputs.k.row(b, head % p.heads_kv, begin), inputs.k.stride[2], count,
                      keys + row * score.hidden_stride, reach + row);
  });
  PerThread<std::vector<KeyRun>> runs(executor.threads());
  for_each_lane_tile(p, inputs.q, output, executor, [&](LaneTile& tile, int slot) {
    const std::int64_t b = tile.queries.batch;
    const std::int64_t row = (b * p.heads_kv + tile.kv_head) * p.seq_k;
    run_pair_tile({score, tile, *pattern, runs[slot], keys + row * score.hidden_stride, reach + row,
                   inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2], p.dim_v, shaping.view(),
                   scratch[static_cast<std::size_t>(slot)]});
  });
}

PairScoreWork pair_score_work(const Problem& p, std::int64_t hidden, std::int64_t outputs,
                              int threads) {
  const auto d = [](std::int64_t x) { return static_cast<double>(x); };
  const WindowPattern base = base_pattern(p);
  const TileVisits visits = count_visits(p, *ProblemPattern(p, base));
  const PairOps ops = pair_ops(hidden, outputs);
  double rows = d(p.batch * p.heads_q * p.seq_q);
  for (std::int64_t b = 0; b < p.batch; ++b) rows += d(p.heads_kv * p.key_length(b));
  PairScoreWork work;
  work.flops = 2 * (rows * d(hidden * p.dim_qk) + visits.pairs * d(ops.multiply_adds + p.dim_v));
  work.exps = rows * d(hidden) + visits.pairs * (d(ops.exps + 1) + LogitTerms(p).exps_per_pair()) +
              visits.lane_blocks;
  const auto stride = static_cast<std::size_t>(padded(hidden, 16));
  work.workspace_bytes =
      workspace_take_bytes(key_rows(p) * stride) + workspace_take_bytes(key_rows(p)) +
      static_cast<std::size_t>(threads) *
          workspace_take_bytes(pair_tile_floats(p.dim_qk, p.dim_v, hidden, outputs));
  return work;
}

}  // namespace attnbench::kernels
