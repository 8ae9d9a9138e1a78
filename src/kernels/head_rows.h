// Tensors [B, H, N, D] as rows [B, 1, N, H D] with the heads side by side: what a whole layer
// projects.
#pragma once

#include <cstdint>
#include <span>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// Rows [batch, 1, seq, width] at `data`.
TensorView row_tensor(float* data, std::int64_t batch, std::int64_t seq, std::int64_t width);

/// The same rows cut into heads: [batch, heads, seq, width / heads].
TensorView split_heads(const TensorView& rows, std::int64_t heads);

/// Whether a tensor of that many heads has its rows side by side in memory already.
inline bool is_row_tensor(std::int64_t heads, Layout layout) {
  return heads == 1 || layout == Layout::bnhd;
}

/// Floats of workspace that gather_rows or a scattered output takes: none where the memory can be
/// used as it is.
std::size_t gathered_floats(const std::array<std::int64_t, 4>& shape, Layout layout);

/// The rows of `heads`: the same memory where is_row_tensor(), else copied to the workspace. Rows
/// at and beyond a batch row's length ([B], or empty) are not read.
ConstTensorView gather_rows(ConstTensorView heads, Layout layout,
                            std::span<const std::int64_t> lengths, Workspace& workspace,
                            Executor& executor);

/// Rows to write that become `heads`: the same memory, or workspace that scatter_rows copies.
TensorView rows_to_scatter(TensorView heads, Layout layout, Workspace& workspace);
void scatter_rows(ConstTensorView rows, TensorView heads, Layout layout, Executor& executor);

}  // namespace attnbench::kernels
