#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/projection.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/gemm-inl.h"
#include "kernels/projection.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// y[rows][out] = x[rows][in] W. A part of a panel that fits the first-level cache is multiplied
/// with all rows before the next one, so that x and y come from the second level. The next part,
/// which follows in memory, is asked for meanwhile where a core's own cache may not keep all.
void project_rows_target(const PackedWeights& w, std::int64_t rows, const float* x,
                         std::ptrdiff_t x_stride, float* y, std::ptrdiff_t y_stride) {
  constexpr std::int64_t kDepth = 128;  // 32 KiB of a panel.
  constexpr std::int64_t kNearBytes = std::int64_t{256} << 10;
  constexpr int kVectors = kGemmVectors == 4 ? 4 : 8;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const bool ask = w.in() * w.out() * static_cast<std::int64_t>(sizeof(float)) > kNearBytes;
  Upcoming upcoming;
  for (std::int64_t column = 0; column < w.out(); column += PackedWeights::kPanel) {
    const std::int64_t columns = std::min(PackedWeights::kPanel, w.out() - column);
    for (std::int64_t k = 0; k < w.in(); k += kDepth) {
      const std::int64_t depth = std::min(kDepth, w.in() - k);
      const Old old = k == 0 ? Old::overwrite : Old::accumulate;
      const float* panel = w.row(column, k);
      if (rows == 1 && columns == kVectors * lanes) {
        // Fewer sums would wait for each other, and each pass read a part of every line.
        gemm_tile<1, kVectors, ALayout::row_major>(
            depth, x + k, x_stride, panel, PackedWeights::kPanel, y + column, y_stride, old, panel);
        continue;
      }
      if (ask) {
        const float* next = panel + depth * PackedWeights::kPanel;
        upcoming.clear();
        upcoming.add(next, std::min<std::int64_t>(kDepth * PackedWeights::kPanel, w.end() - next));
        upcoming.spread_over(static_cast<double>(rows * columns * depth));
      }
      gemm<ALayout::row_major>(rows, columns, depth, x + k, x_stride, panel, PackedWeights::kPanel,
                               y + column, y_stride, old, nullptr, ask ? &upcoming : nullptr);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(project_rows_target);

/// Rows per task: few enough that x and y stay in the second-level cache and two threads have work
/// from a length of 512 on, enough to hide what comes of the weights for each.
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
  const PackedWeights& w = p.weights;
  const float* x = p.from.row(b, head, begin);
  float* y = p.to.row(b, head, begin);
  if (w.packed()) {
    HWY_DYNAMIC_DISPATCH(project_rows_target)
    (w, rows, x, p.from.stride[2], y, p.to.stride[2]);
  } else {
    onednn_gemm(rows, w.out(), w.in(), 1.0F, x, p.from.stride[2], w.row_major(), w.out(), false, y,
                p.to.stride[2]);
  }
  count_ops(rows * w.out() * w.in(), 0);
}

}  // namespace

PackedWeights::PackedWeights(const float* weights, std::int64_t in, std::int64_t out)
    : in_(in), out_(out) {
  if (!packed()) {
    data_ = FloatBuffer(static_cast<std::size_t>(in * out));
    std::copy_n(weights, in * out, data_.data());
    return;
  }
  const std::int64_t panels = (out + kPanel - 1) / kPanel;
  data_ = FloatBuffer(static_cast<std::size_t>(panels * in * kPanel));
  float* to = data_.data();
  for (std::int64_t column = 0; column < out; column += kPanel) {
    const std::int64_t columns = std::min(kPanel, out - column);
    for (std::int64_t k = 0; k < in; ++k, to += kPanel) {
      std::copy_n(weights + k * out + column, columns, to);
      std::fill(to + columns, to + kPanel, 0.0F);
    }
  }
}

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
#endif  // HWY_ONCE
