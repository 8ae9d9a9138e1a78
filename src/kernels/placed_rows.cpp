#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/placed_rows.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// to = a + b.
void add_row_entry(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::ptrdiff_t dim,
                   float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  for (; at + lanes <= dim; at += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, a + at), hn::LoadU(d, b + at)), d, to + at);
  }
  for (; at < dim; ++at) to[at] = a[at] + b[at];
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>
#include <utility>

#include "attention/rotation.h"
#include "kernels/op_count.h"
#include "kernels/placed_rows.h"
#include "kernels/rotary.h"

namespace attnbench::kernels {
namespace {
HWY_EXPORT(add_row_entry);

/// sin and cos of consecutive positions in the order in which they are added, [count][dim].
class SinusoidalTable {
 public:
  SinusoidalTable() = default;
  SinusoidalTable(std::int64_t dim, std::int64_t first, std::int64_t count)
      : dim_(dim), first_(first), values_(static_cast<std::size_t>(count * dim)) {
    float* to = values_.data();
    for (std::int64_t position = first; position < first + count; ++position) {
      for (std::int64_t d = 0; d < dim; ++d) {
        const double angle = rotary_angle(position, d / 2, dim);
        *to++ = static_cast<float>(d % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
  }
  const float* row(std::int64_t position) const {
    return values_.data() + (position - first_) * dim_;
  }

 private:
  std::int64_t dim_ = 0;
  std::int64_t first_ = 0;
  FloatBuffer values_;
};

constexpr std::int64_t kPlacedRows = 256;  ///< Rows per task.

/// Rows of Q or K and where they go.
struct RowSet {
  ConstTensorView from;
  TensorView to;
  std::int64_t first_position = 0;
  bool is_keys = false;

  std::int64_t blocks() const { return (from.shape[2] + kPlacedRows - 1) / kPlacedRows; }
  std::int64_t tasks() const { return from.shape[0] * from.shape[1] * blocks(); }
};

std::array<std::int64_t, 4> query_shape(const Problem& p) {
  return {p.batch, p.heads_q, p.seq_q, p.dim_qk};
}
std::array<std::int64_t, 4> key_shape(const Problem& p) {
  return {p.batch, p.heads_kv, p.seq_k, p.dim_qk};
}
std::size_t floats_of(const std::array<std::int64_t, 4>& shape) {
  return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
}

class PlacedRowsPlan final : public Plan {
 public:
  PlacedRowsPlan(const Problem& problem, std::unique_ptr<Plan> inner)
      : problem_(problem), inner_(std::move(inner)) {
    const std::int64_t first = std::min<std::int64_t>(0, problem.diagonal());
    const std::int64_t count = problem.seq_k - first;
    if (problem.position == Position::rope) {
      rotary_ = RotaryTable(problem.dim_qk, first, count);
    } else {
      sinusoidal_ = SinusoidalTable(problem.dim_qk, first, count);
    }
  }

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    std::vector<RowSet> sets;
    sets.push_back({inputs.q, take(query_shape(p), workspace), p.diagonal(), false});
    if (p.places_keys()) sets.push_back({inputs.k, take(key_shape(p), workspace), 0, true});
    std::int64_t tasks = 0;
    for (const RowSet& set : sets) tasks += set.tasks();
    executor.parallel_for(tasks, [&](std::int64_t index, int) {
      for (const RowSet& set : sets) {
        if (index < set.tasks()) return place_block(set, index);
        index -= set.tasks();
      }
    });
    const ConstTensorView k = p.places_keys() ? ConstTensorView(sets[1].to) : inputs.k;
    inner_->run({sets[0].to, k, inputs.v}, output, workspace, executor);
  }

 private:
  static TensorView take(const std::array<std::int64_t, 4>& shape, Workspace& workspace) {
    return {workspace.take(floats_of(shape)), shape, layout_strides(shape, Layout::bhnd)};
  }

  void place_block(const RowSet& set, std::int64_t task) const {
    const std::int64_t b = task / set.blocks() / set.from.shape[1];
    const std::int64_t h = task / set.blocks() % set.from.shape[1];
    const std::int64_t begin = task % set.blocks() * kPlacedRows;
    const std::int64_t rows = set.is_keys ? problem_.key_length(b) : set.from.shape[2];
    for (std::int64_t n = begin; n < std::min(begin + kPlacedRows, rows); ++n) {
      const std::int64_t position = set.first_position + n;
      if (problem_.position == Position::rope) {
        rotate_row(rotary_, position, set.from.row(b, h, n), set.to.row(b, h, n));
      } else {
        HWY_DYNAMIC_DISPATCH(add_row_entry)
        (set.from.row(b, h, n), sinusoidal_.row(position), problem_.dim_qk, set.to.row(b, h, n));
        count_additions(problem_.dim_qk);
      }
    }
  }

  Problem problem_;
  std::unique_ptr<Plan> inner_;
  RotaryTable rotary_;
  SinusoidalTable sinusoidal_;
};

}  // namespace

std::unique_ptr<Plan> with_placed_rows(const Problem& problem, std::unique_ptr<Plan> inner) {
  if (!problem.places_queries()) return inner;
  return std::make_unique<PlacedRowsPlan>(problem, std::move(inner));
}

void add_placed_rows_cost(const Problem& p, Cost& cost) {
  if (!p.places_queries()) return;
  std::int64_t rows = p.batch * p.heads_q * p.seq_q;
  cost.workspace_bytes += workspace_take_bytes(floats_of(query_shape(p)));
  if (p.places_keys()) {
    for (std::int64_t b = 0; b < p.batch; ++b) rows += p.heads_kv * p.key_length(b);
    cost.workspace_bytes += workspace_take_bytes(floats_of(key_shape(p)));
  }
  const double flops_per_element = p.position == Position::rope ? 3 : 1;
  cost.performed_flops +=
      flops_per_element * static_cast<double>(rows) * static_cast<double>(p.dim_qk);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
