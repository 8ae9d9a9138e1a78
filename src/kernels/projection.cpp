#include "kernels/projection.h"

#include <algorithm>
#include <vector>

#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"

namespace attnbench::kernels {
namespace {

/// Rows per task. oneDNN copies the weights into its own order in every call: 256 rows hide that
/// (512 are not faster at a width of 512), and give two threads work from a length of 512 on.
constexpr std::int64_t kProjectionRows = 256;

std::int64_t length(const RowProjection& p, std::int64_t b) {
  return p.lengths.empty() ? p.from.shape[2] : p.lengths[static_cast<std::size_t>(b)];
}

std::int64_t blocks_per_head(const RowProjection& p) {
  return (p.from.shape[2] + kProjectionRows - 1) / kProjectionRows;
}

std::int64_t task_count(const RowProjection& p) {
  return p.from.shape[0] * p.from.shape[1] * blocks_per_head(p);
}

void project_block(const RowProjection& p, std::int64_t task) {
  const std::int64_t blocks = blocks_per_head(p);
  const std::int64_t head = task / blocks % p.from.shape[1];
  const std::int64_t b = task / blocks / p.from.shape[1];
  const std::int64_t begin = task % blocks * kProjectionRows;
  const std::int64_t rows = std::min(kProjectionRows, length(p, b) - begin);
  if (rows <= 0) return;
  onednn_gemm(rows, p.to.shape[3], p.from.shape[3], 1.0F, p.from.row(b, head, begin),
              p.from.stride[2], p.weights, p.to.shape[3], false, p.to.row(b, head, begin),
              p.to.stride[2]);
  count_ops(rows * p.to.shape[3] * p.from.shape[3], 0);
}

}  // namespace

void project_rows(std::span<const RowProjection> projections, Executor& executor) {
  std::int64_t tasks = 0;
  for (const RowProjection& p : projections) tasks += task_count(p);
  executor.parallel_for(tasks, [&](std::int64_t index, int) {
    for (const RowProjection& p : projections) {
      const std::int64_t count = task_count(p);
      if (index < count) return project_block(p, index);
      index -= count;
    }
  });
}

double projection_flops(const RowProjection& p) {
  double rows = 0;
  for (std::int64_t b = 0; b < p.from.shape[0]; ++b) rows += static_cast<double>(length(p, b));
  return 2 * rows * static_cast<double>(p.from.shape[1]) * static_cast<double>(p.from.shape[3]) *
         static_cast<double>(p.to.shape[3]);
}

}  // namespace attnbench::kernels
