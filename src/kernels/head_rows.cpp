#include "kernels/head_rows.h"

#include <algorithm>

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kRows = 128;  ///< Per task.

/// The memory of a row tensor as rows. Heads lie D apart within a row, whatever a row's stride is.
template <class T>
BasicTensorView<T> same_memory(const BasicTensorView<T>& heads) {
  return {heads.data,
          {heads.shape[0], 1, heads.shape[2], heads.shape[1] * heads.shape[3]},
          {heads.stride[0], heads.stride[1], heads.stride[2]}};
}

/// Calls copy(b, h, n) for every row of every head below the lengths.
template <class Copy>
void for_rows(const std::array<std::int64_t, 4>& shape, std::span<const std::int64_t> lengths,
              Executor& executor, Copy copy) {
  const std::int64_t blocks = (shape[2] + kRows - 1) / kRows;
  executor.parallel_for(shape[0] * blocks, [&](std::int64_t index, int) {
    const std::int64_t b = index / blocks;
    const std::int64_t begin = index % blocks * kRows;
    const std::int64_t length = lengths.empty() ? shape[2] : lengths[static_cast<std::size_t>(b)];
    for (std::int64_t n = begin; n < std::min(begin + kRows, length); ++n) {
      for (std::int64_t h = 0; h < shape[1]; ++h) copy(b, h, n);
    }
  });
}

}  // namespace

TensorView row_tensor(float* data, std::int64_t batch, std::int64_t seq, std::int64_t width) {
  return {data, {batch, 1, seq, width}, {seq * width, seq * width, width}};
}

TensorView split_heads(const TensorView& rows, std::int64_t heads) {
  const std::int64_t dim = rows.shape[3] / heads;
  return {
      rows.data, {rows.shape[0], heads, rows.shape[2], dim}, {rows.stride[0], dim, rows.stride[2]}};
}

std::size_t gathered_floats(const std::array<std::int64_t, 4>& shape, Layout layout) {
  if (is_row_tensor(shape[1], layout)) return 0;
  return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
}

ConstTensorView gather_rows(ConstTensorView heads, Layout layout,
                            std::span<const std::int64_t> lengths, Workspace& workspace,
                            Executor& executor) {
  if (is_row_tensor(heads.shape[1], layout)) return same_memory(heads);
  const std::int64_t dim = heads.shape[3];
  const TensorView rows = row_tensor(workspace.take(gathered_floats(heads.shape, layout)),
                                     heads.shape[0], heads.shape[2], heads.shape[1] * dim);
  for_rows(heads.shape, lengths, executor, [&](std::int64_t b, std::int64_t h, std::int64_t n) {
    std::copy_n(heads.row(b, h, n), dim, rows.row(b, 0, n) + h * dim);
  });
  return rows;
}

TensorView rows_to_scatter(TensorView heads, Layout layout, Workspace& workspace) {
  if (is_row_tensor(heads.shape[1], layout)) return same_memory(heads);
  return row_tensor(workspace.take(gathered_floats(heads.shape, layout)), heads.shape[0],
                    heads.shape[2], heads.shape[1] * heads.shape[3]);
}

void scatter_rows(ConstTensorView rows, TensorView heads, Layout layout, Executor& executor) {
  if (is_row_tensor(heads.shape[1], layout)) return;
  const std::int64_t dim = heads.shape[3];
  for_rows(heads.shape, {}, executor, [&](std::int64_t b, std::int64_t h, std::int64_t n) {
    std::copy_n(rows.row(b, 0, n) + h * dim, dim, heads.row(b, h, n));
  });
}

}  // namespace attnbench::kernels
