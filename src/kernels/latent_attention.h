// Multi-head latent attention (DeepSeek-AI 2024, "DeepSeek-V2", arXiv 2405.04434, section 2.1): the
// whole layer from rows X [B, 1, N, d_model] to rows [B, 1, N, width_out].
//
//   c_j = x_j W_DKV                               latent, kv_rank numbers for all heads
//   k_j,h = [c_j W_UK_h ; RoPE_j(x_j W_KR)]       D of each head's own, rope_dim shared by all
//   heads v_j,h = c_j W_UV_h q_i,h = [z_i W_UQ_h ; RoPE_i(z_i W_QR_h)]     z_i = x_i W_DQ, or x_i
//   without query compression o_i,h = sum_j softmax_j(scale q_i,h . k_j,h) v_j,h,   y_i =
//   concat_h(o_i,h) W_O
//
// Two ways to the same numbers. Decompressed: K and V of every head are written out. Absorbed: W_UK
// moves to the query and W_UV behind the weighted mean, so that all heads attend to [c_j ; k^R_j]
// as to one key-value head, whose values are the first kv_rank numbers of the key.
#pragma once

#include <cstdint>
#include <span>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/projection.h"
#include "kernels/rotary.h"

namespace attnbench::kernels {

struct LatentSizes {
  std::int64_t width = 0;  ///< d_model
  std::int64_t width_out = 0;
  std::int64_t heads = 0;
  std::int64_t dim = 0;       ///< D, without the rotary part
  std::int64_t dim_v = 0;     ///< Dv
  std::int64_t kv_rank = 0;   ///< d_c
  std::int64_t rope_dim = 0;  ///< d_h^R, even; 0 for none
  std::int64_t q_rank = 0;    ///< d_c'; 0 for no query compression
  bool absorbed = false;

  std::int64_t query_input() const { return q_rank > 0 ? q_rank : width; }
  std::int64_t key_width() const { return dim + rope_dim; }         ///< of a decompressed key
  std::int64_t latent_width() const { return kv_rank + rope_dim; }  ///< of a cached token
};

/// The matrices of the paper, [in][out], row-major. W_DQ is null without query compression; W_QR
/// and W_KR are null without a rotary part.
struct LatentWeights {
  const float* dq = nullptr;   ///< [width][q_rank]
  const float* uq = nullptr;   ///< [query_input][heads dim]
  const float* qr = nullptr;   ///< [query_input][heads rope_dim]
  const float* dkv = nullptr;  ///< [width][kv_rank]
  const float* kr = nullptr;   ///< [width][rope_dim]
  const float* uk = nullptr;   ///< [kv_rank][heads dim]
  const float* uv = nullptr;   ///< [kv_rank][heads dim_v]
  const float* o = nullptr;    ///< [heads dim_v][width_out]
};

/// A prepared layer: weights packed so that one product serves several of them. The last seq_q of
/// the seq_k tokens are the call's; the others come from a cache of latents.
class LatentAttention {
 public:
  /// `problem` has the lengths, the mask and the number of threads' work; its heads and dimensions
  /// are those of the tensors outside. `weights` must outlive this.
  LatentAttention(const Problem& problem, const LatentSizes& sizes, const LatentWeights& weights,
                  double scale);

  /// The cache of earlier tokens: latents [B, seq_k - seq_q, kv_rank] and rotated keys [B, seq_k -
  /// seq_q, rope_dim], copied. Not timed: earlier calls have filled it.
  void fill_cache(std::span<const float> latents, std::span<const float> rotary_keys);

  /// X [B, 1, seq_q, width] to rows [B, 1, seq_q, width_out]. Not thread safe: the new tokens'
  /// latents are appended to the cache.
  void run(ConstTensorView x, TensorView y, Workspace& workspace, Executor& executor);

 private:
  void project_queries(ConstTensorView x, TensorView q, Workspace& workspace, Executor& executor);
  TensorView append_latents(ConstTensorView x, Workspace& workspace, Executor& executor);
  void attend_decompressed(TensorView q, TensorView latents, TensorView context,
                           Workspace& workspace, Executor& executor) const;
  void attend_absorbed(TensorView q, TensorView latents, TensorView context, Workspace& workspace,
                       Executor& executor) const;

  Problem problem_;
  LatentSizes sizes_;
  LatentWeights weights_;
  double scale_;
  PackedWeights down_weights_;    ///< dq
  PackedWeights query_weights_;   ///< [query_input][heads][dim + rope_dim]
  PackedWeights latent_weights_;  ///< [width][kv_rank + rope_dim]
  PackedWeights out_weights_;     ///< o
  FloatBuffer cache_;  ///< [B][seq_k][kv_rank + rope_dim], where there are earlier tokens.
  RotaryTable rotary_;
};

/// What run() executes and takes.
struct LatentWork {
  double flops = 0;
  double attention_flops = 0;  ///< Of them, the products of attention.
  double exps = 0;
  double intermediate_floats = 0;  ///< Written and read back.
  double cache_floats = 0;         ///< Of earlier tokens, read.
  double weight_floats = 0;        ///< As executed, read once.
  std::size_t workspace_bytes = 0;
};
LatentWork latent_attention_work(const Problem& problem, const LatentSizes& sizes, int threads);

}  // namespace attnbench::kernels
