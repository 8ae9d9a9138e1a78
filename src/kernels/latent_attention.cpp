#include "kernels/latent_attention.h"

#include <algorithm>

#include "kernels/head_rows.h"
#include "kernels/key_pattern.h"
#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"
#include "kernels/projection.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {
namespace {

/// Rows per task of the products per head.
constexpr std::int64_t kRows = 256;

struct Matrix {
  const float* data = nullptr;
  std::int64_t stride = 0;
};

/// C = A B, or A B^T, counted.
void product(std::int64_t rows, std::int64_t columns, std::int64_t depth, Matrix a, Matrix b,
             bool b_transposed, float* c, std::int64_t c_stride) {
  onednn_gemm(rows, columns, depth, 1.0F, a.data, a.stride, b.data, b.stride, b_transposed, c,
              c_stride);
  count_ops(rows * columns * depth, 0);
}

/// Calls body(b, begin, rows) for blocks of the rows of every batch row below its length.
template <class Body>
void for_blocks(std::int64_t batch, std::int64_t seq, std::int64_t per_block, Executor& executor,
                const std::vector<std::int64_t>& lengths, Body body) {
  const std::int64_t blocks = (seq + per_block - 1) / per_block;
  executor.parallel_for(batch * blocks, [&](std::int64_t index, int) {
    const std::int64_t b = index / blocks;
    const std::int64_t begin = index % blocks * per_block;
    const std::int64_t length = lengths.empty() ? seq : lengths[static_cast<std::size_t>(b)];
    const std::int64_t rows = std::min(per_block, length - begin);
    if (rows > 0) body(b, begin, rows);
  });
}

/// Rows of the new tokens that are keys.
std::vector<std::int64_t> new_lengths(const Problem& p) {
  std::vector<std::int64_t> lengths;
  for (const std::int64_t length : p.key_lengths) {
    lengths.push_back(std::clamp<std::int64_t>(length - p.diagonal(), 0, p.seq_q));
  }
  return lengths;
}

/// The attention call within: every head its own keys, or all heads the latents.
Problem inner_problem(const Problem& p, const LatentSizes& s) {
  Problem inner = p;
  inner.heads_q = s.heads;
  inner.heads_kv = s.absorbed ? 1 : s.heads;
  inner.dim_qk = s.absorbed ? s.latent_width() : s.key_width();
  inner.dim_v = s.absorbed ? s.kv_rank : s.dim_v;
  return inner;
}

WindowPattern pattern_of(const Problem& p) {
  return {WindowPattern::kUnlimited, p.causal ? 0 : WindowPattern::kUnlimited, p.diagonal(),
          p.seq_k, p.key_lengths};
}

/// Columns of `from` [rows][columns] go to every `to_stride` columns from `to` on, `width` a group.
void pack_columns(const float* from, std::int64_t rows, std::int64_t groups, std::int64_t width,
                  float* to, std::int64_t group_stride, std::int64_t row_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      std::copy_n(from + (r * groups + g) * width, width, to + r * row_stride + g * group_stride);
    }
  }
}

std::size_t floats(std::int64_t batch, std::int64_t seq, std::int64_t width) {
  return static_cast<std::size_t>(batch * seq * width);
}

}  // namespace

LatentAttention::LatentAttention(const Problem& problem, const LatentSizes& sizes,
                                 const LatentWeights& weights, double scale)
    : problem_(problem),
      sizes_(sizes),
      weights_(weights),
      scale_(scale),
      rotary_(sizes.rope_dim, 0, problem.seq_k) {
  const LatentSizes& s = sizes_;
  const std::int64_t row = s.heads * s.key_width();
  FloatBuffer query_columns(floats(1, s.query_input(), row));
  FloatBuffer latent_columns(floats(1, s.width, s.latent_width()));
  float* query = query_columns.data();
  float* latent = latent_columns.data();
  pack_columns(weights.uq, s.query_input(), s.heads, s.dim, query, s.key_width(), row);
  pack_columns(weights.dkv, s.width, 1, s.kv_rank, latent, 0, s.latent_width());
  if (s.rope_dim > 0) {
    pack_columns(weights.qr, s.query_input(), s.heads, s.rope_dim, query + s.dim, s.key_width(),
                 row);
    pack_columns(weights.kr, s.width, 1, s.rope_dim, latent + s.kv_rank, 0, s.latent_width());
  }
  if (s.q_rank > 0) down_weights_ = {weights.dq, s.width, s.q_rank};
  query_weights_ = {query, s.query_input(), row};
  latent_weights_ = {latent, s.width, s.latent_width()};
  out_weights_ = {weights.o, s.heads * s.dim_v, s.width_out};
}

void LatentAttention::fill_cache(std::span<const float> latents,
                                 std::span<const float> rotary_keys) {
  const LatentSizes& s = sizes_;
  const std::int64_t past = problem_.diagonal();
  cache_ = FloatBuffer(floats(problem_.batch, problem_.seq_k, s.latent_width()));
  for (std::int64_t b = 0; b < problem_.batch; ++b) {
    for (std::int64_t j = 0; j < past; ++j) {
      float* to = cache_.data() + (b * problem_.seq_k + j) * s.latent_width();
      std::copy_n(latents.data() + (b * past + j) * s.kv_rank, s.kv_rank, to);
      if (s.rope_dim == 0) continue;
      std::copy_n(rotary_keys.data() + (b * past + j) * s.rope_dim, s.rope_dim, to + s.kv_rank);
    }
  }
}

void LatentAttention::project_queries(ConstTensorView x, TensorView q, Workspace& workspace,
                                      Executor& executor) {
  const LatentSizes& s = sizes_;
  ConstTensorView input = x;
  if (s.q_rank > 0) {
    const TensorView z =
        row_tensor(workspace.take(floats(problem_.batch, problem_.seq_q, s.q_rank)), problem_.batch,
                   problem_.seq_q, s.q_rank);
    const RowProjection down[] = {{x, z, down_weights_, {}}};
    project_rows(down, executor);
    input = z;
  }
  const RowProjection up[] = {{input, q, query_weights_, {}}};
  project_rows(up, executor);
  if (s.rope_dim == 0) return;
  for_blocks(problem_.batch, problem_.seq_q, kRows, executor, {},
             [&](std::int64_t b, std::int64_t begin, std::int64_t rows) {
               for (std::int64_t i = begin; i < begin + rows; ++i) {
                 for (std::int64_t h = 0; h < s.heads; ++h) {
                   float* tail = q.row(b, 0, i) + h * s.key_width() + s.dim;
                   rotate_row(rotary_, i + problem_.diagonal(), tail, tail);
                 }
               }
             });
}

TensorView LatentAttention::append_latents(ConstTensorView x, Workspace& workspace,
                                           Executor& executor) {
  const LatentSizes& s = sizes_;
  const std::int64_t past = problem_.diagonal();
  float* data = past > 0 ? cache_.data()
                         : workspace.take(floats(problem_.batch, problem_.seq_k, s.latent_width()));
  const TensorView all = row_tensor(data, problem_.batch, problem_.seq_k, s.latent_width());
  const TensorView fresh{data + past * s.latent_width(),
                         {problem_.batch, 1, problem_.seq_q, s.latent_width()},
                         all.stride};
  const std::vector<std::int64_t> lengths = new_lengths(problem_);
  const RowProjection down[] = {{x, fresh, latent_weights_, lengths}};
  project_rows(down, executor);
  if (s.rope_dim == 0) return all;
  for_blocks(problem_.batch, problem_.seq_q, kRows, executor, lengths,
             [&](std::int64_t b, std::int64_t begin, std::int64_t rows) {
               for (std::int64_t j = begin; j < begin + rows; ++j) {
                 float* tail = fresh.row(b, 0, j) + s.kv_rank;
                 rotate_row(rotary_, past + j, tail, tail);
               }
             });
  return all;
}

void LatentAttention::attend_decompressed(TensorView q, TensorView latents, TensorView context,
                                          Workspace& workspace, Executor& executor) const {
  const LatentSizes& s = sizes_;
  const Problem& p = problem_;
  const auto take = [&](std::int64_t width) {
    return row_tensor(workspace.take(floats(p.batch, p.seq_k, width)), p.batch, p.seq_k, width);
  };
  const TensorView k = take(s.heads * s.key_width());
  const TensorView v = take(s.heads * s.dim_v);
  for_blocks(p.batch, p.seq_k, kRows, executor, p.key_lengths,
             [&](std::int64_t b, std::int64_t begin, std::int64_t rows) {
               const Matrix c{latents.row(b, 0, begin), latents.stride[2]};
               product(rows, s.heads * s.dim_v, s.kv_rank, c, {weights_.uv, s.heads * s.dim_v},
                       false, v.row(b, 0, begin), v.stride[2]);
               for (std::int64_t h = 0; h < s.heads; ++h) {
                 float* to = k.row(b, 0, begin) + h * s.key_width();
                 product(rows, s.dim, s.kv_rank, c, {weights_.uk + h * s.dim, s.heads * s.dim},
                         false, to, k.stride[2]);
                 for (std::int64_t j = 0; j < rows; ++j) {
                   std::copy_n(latents.row(b, 0, begin + j) + s.kv_rank, s.rope_dim,
                               to + j * k.stride[2] + s.dim);
                 }
               }
             });
  const KeySource sources[] = {{split_heads(k, s.heads), split_heads(v, s.heads)}};
  const Problem inner = inner_problem(p, s);
  tiled_softmax({inner, scale_, sources, pattern_of(p), split_heads(q, s.heads),
                 split_heads(context, s.heads)},
                workspace, executor);
}

void LatentAttention::attend_absorbed(TensorView q, TensorView latents, TensorView context,
                                      Workspace& workspace, Executor& executor) const {
  const LatentSizes& s = sizes_;
  const Problem& p = problem_;
  const auto take = [&](std::int64_t width) {
    return row_tensor(workspace.take(floats(p.batch, p.seq_q, width)), p.batch, p.seq_q, width);
  };
  const TensorView queries = take(s.heads * s.latent_width());
  const TensorView means = take(s.heads * s.kv_rank);
  // One task per head of a block: with a single query the weights are what there is to share out.
  const auto for_heads = [&](auto body) {
    const std::int64_t blocks = (p.seq_q + kRows - 1) / kRows;
    executor.parallel_for(p.batch * blocks * s.heads, [&](std::int64_t index, int) {
      const std::int64_t begin = index / s.heads % blocks * kRows;
      body(index / s.heads / blocks, index % s.heads, begin, std::min(kRows, p.seq_q - begin));
    });
  };
  for_heads([&](std::int64_t b, std::int64_t h, std::int64_t begin, std::int64_t rows) {
    const float* from = q.row(b, 0, begin) + h * s.key_width();
    float* to = queries.row(b, 0, begin) + h * s.latent_width();
    product(rows, s.kv_rank, s.dim, {from, q.stride[2]}, {weights_.uk + h * s.dim, s.heads * s.dim},
            true, to, queries.stride[2]);
    for (std::int64_t i = 0; i < rows; ++i) {
      std::copy_n(from + i * q.stride[2] + s.dim, s.rope_dim,
                  to + i * queries.stride[2] + s.kv_rank);
    }
  });
  TensorView values = latents;  // The first kv_rank numbers of each.
  values.shape[3] = s.kv_rank;
  const KeySource sources[] = {{latents, values}};
  const Problem inner = inner_problem(p, s);
  tiled_softmax({inner, scale_, sources, pattern_of(p), split_heads(queries, s.heads),
                 split_heads(means, s.heads)},
                workspace, executor);
  for_heads([&](std::int64_t b, std::int64_t h, std::int64_t begin, std::int64_t rows) {
    product(rows, s.dim_v, s.kv_rank, {means.row(b, 0, begin) + h * s.kv_rank, means.stride[2]},
            {weights_.uv + h * s.dim_v, s.heads * s.dim_v}, false,
            context.row(b, 0, begin) + h * s.dim_v, context.stride[2]);
  });
}

void LatentAttention::run(ConstTensorView x, TensorView y, Workspace& workspace,
                          Executor& executor) {
  const LatentSizes& s = sizes_;
  const Problem& p = problem_;
  const auto take = [&](std::int64_t width) {
    return row_tensor(workspace.take(floats(p.batch, p.seq_q, width)), p.batch, p.seq_q, width);
  };
  const TensorView q = take(s.heads * s.key_width());
  const TensorView context = take(s.heads * s.dim_v);
  project_queries(x, q, workspace, executor);
  const TensorView latents = append_latents(x, workspace, executor);
  if (s.absorbed) {
    attend_absorbed(q, latents, context, workspace, executor);
  } else {
    attend_decompressed(q, latents, context, workspace, executor);
  }
  const RowProjection out[] = {{context, y, out_weights_, {}}};
  project_rows(out, executor);
}

LatentWork latent_attention_work(const Problem& p, const LatentSizes& s, int threads) {
  const auto d = [](std::int64_t n) { return static_cast<double>(n); };
  const Problem inner = inner_problem(p, s);
  const TileWork tiles = tiled_softmax_work(inner, pattern_of(p), threads);
  double keys = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) keys += d(p.key_length(b));
  double fresh = d(p.batch * p.seq_q);
  const std::vector<std::int64_t> lengths = new_lengths(p);
  if (!lengths.empty()) fresh = 0;
  for (const std::int64_t length : lengths) fresh += d(length);
  const double queries = d(p.batch * p.seq_q);
  const double q_width = d(s.heads * s.key_width()), context_width = d(s.heads * s.dim_v);
  const double latent = d(s.latent_width()), rank = d(s.kv_rank), heads = d(s.heads);

  LatentWork work;
  work.exps = tiles.exps;
  work.attention_flops = tiles.flops(inner.dim_qk, inner.dim_v);
  work.flops =
      work.attention_flops +
      2 * queries *
          (d(s.width * s.q_rank) + d(s.query_input()) * q_width + context_width * d(s.width_out)) +
      2 * fresh * d(s.width) * latent + 3 * d(s.rope_dim) * (queries * heads + fresh);
  work.intermediate_floats = queries * (d(s.q_rank) + q_width + context_width) + fresh * latent;
  work.cache_floats = (keys - fresh) * latent;
  work.weight_floats = d(s.width * s.q_rank) + d(s.query_input()) * q_width + d(s.width) * latent +
                       rank * heads * d(s.dim + s.dim_v) + context_width * d(s.width_out);
  const auto bytes = [&](std::int64_t seq, std::int64_t width) {
    return workspace_take_bytes(floats(p.batch, seq, width));
  };
  work.workspace_bytes = bytes(p.seq_q, s.heads * s.key_width()) +
                         bytes(p.seq_q, s.heads * s.dim_v) +
                         tiled_softmax_workspace_bytes(inner, pattern_of(p), threads);
  if (s.q_rank > 0) work.workspace_bytes += bytes(p.seq_q, s.q_rank);
  if (p.diagonal() == 0) work.workspace_bytes += bytes(p.seq_k, s.latent_width());
  if (s.absorbed) {
    work.flops += 2 * queries * heads * rank * d(s.dim + s.dim_v);
    work.intermediate_floats += queries * heads * (latent + rank);
    work.workspace_bytes +=
        bytes(p.seq_q, s.heads * s.latent_width()) + bytes(p.seq_q, s.heads * s.kv_rank);
  } else {
    work.flops += 2 * keys * heads * rank * d(s.dim + s.dim_v);
    work.intermediate_floats += keys * heads * d(s.key_width() + s.dim_v);
    work.workspace_bytes +=
        bytes(p.seq_k, s.heads * s.key_width()) + bytes(p.seq_k, s.heads * s.dim_v);
  }
  return work;
}

}  // namespace attnbench::kernels
