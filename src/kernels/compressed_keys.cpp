#include "kernels/compressed_keys.h"

#include <algorithm>

#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"
#include "kernels/per_thread.h"
#include "kernels/shared_heads.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// Rows of the projection per task: enough for oneDNN's register tiles, few enough that two tasks
/// per head keep two threads busy at the default rank.
constexpr std::int64_t kRankBlock = 64;

void project_block(const ProjectionCall& call, std::int64_t b, std::int64_t head,
                   std::int64_t begin) {
  const std::int64_t rows = std::min(kRankBlock, call.projection.rank - begin);
  const std::int64_t keys = call.problem.key_length(b);
  const std::int64_t dim = call.from.shape[3];
  float* out = call.to.row(b, head, begin);
  if (keys == 0) {
    std::fill_n(out, rows * dim, 0.0F);
    return;
  }
  onednn_gemm(rows, dim, keys, 1.0F, call.projection.row(head, begin), call.projection.keys,
              call.from.row(b, head, 0), call.from.stride[2], false, out, dim);
  count_ops(rows * dim * keys, 0);
}

}  // namespace

void compressed_softmax(const ProjectionCall& keys, const ProjectionCall& values,
                        const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor) {
  const Problem& p = keys.problem;
  PerThread<TileSequence> sequences(executor.threads(), [&](int) {
    return TileSequence(
        workspace.take(tile_scratch_floats(call.problem.dim_qk, call.problem.dim_v)));
  });
  const HeadTiles tiles(call);
  const bool far = p.batch * p.heads_kv * head_bytes(call.problem) > kNearBytes;
  const std::int64_t blocks = (keys.projection.rank + kRankBlock - 1) / kRankBlock;
  share_heads<2>(p.batch * p.heads_kv, {2 * blocks, tiles.count()}, executor,
                 [&](const HeadPiece& piece, int slot) {
                   if (piece.phase == 1) return tiles.run(piece, far, sequences[slot]);
                   project_block(piece.index < blocks ? keys : values, piece.head / p.heads_kv,
                                 piece.head % p.heads_kv, piece.index % blocks * kRankBlock);
                 });
}

std::size_t compressed_softmax_workspace_bytes(const Problem& problem, int threads) {
  return static_cast<std::size_t>(threads) *
         workspace_take_bytes(tile_scratch_floats(problem.dim_qk, problem.dim_v));
}

}  // namespace attnbench::kernels
