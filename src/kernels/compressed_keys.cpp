#include "kernels/compressed_keys.h"

#include <algorithm>

#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"

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

void project_sequences(const ProjectionCall& keys, const ProjectionCall& values,
                       Executor& executor) {
  const Problem& p = keys.problem;
  const std::int64_t blocks = (keys.projection.rank + kRankBlock - 1) / kRankBlock;
  executor.parallel_for(p.batch * p.heads_kv * 2 * blocks, [&](std::int64_t index, int) {
    const std::int64_t head = index / (2 * blocks);
    const std::int64_t part = index % (2 * blocks);
    project_block(part < blocks ? keys : values, head / p.heads_kv, head % p.heads_kv,
                  part % blocks * kRankBlock);
  });
}

}  // namespace attnbench::kernels
