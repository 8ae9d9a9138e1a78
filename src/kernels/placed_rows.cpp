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

/// to = a + b; `to` may be `a`.
void add_row_entry(const float* a, const float* b, std::ptrdiff_t dim, float* to) {
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
      : problem_(problem), placer_(problem), inner_(std::move(inner)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const TensorView q = take(query_shape(problem_), workspace);
    if (!problem_.places_keys()) {
      placer_.place(inputs.q, q, inputs.k, {}, executor);
      return inner_->run({q, inputs.k, inputs.v}, output, workspace, executor);
    }
    const TensorView k = take(key_shape(problem_), workspace);
    placer_.place(inputs.q, q, inputs.k, k, executor);
    inner_->run({q, k, inputs.v}, output, workspace, executor);
  }

 private:
  static TensorView take(const std::array<std::int64_t, 4>& shape, Workspace& workspace) {
    return {workspace.take(floats_of(shape)), shape, layout_strides(shape, Layout::bhnd)};
  }

  Problem problem_;
  RowPlacer placer_;
  std::unique_ptr<Plan> inner_;
};

}  // namespace

struct RowPlacer::Tables {
  Problem problem;
  RotaryTable rotary;
  SinusoidalTable sinusoidal;

  void place_block(const RowSet& set, std::int64_t task) const {
    const std::int64_t b = task / set.blocks() / set.from.shape[1];
    const std::int64_t h = task / set.blocks() % set.from.shape[1];
    const std::int64_t begin = task % set.blocks() * kPlacedRows;
    const std::int64_t rows = set.is_keys ? problem.key_length(b) : set.from.shape[2];
    for (std::int64_t n = begin; n < std::min(begin + kPlacedRows, rows); ++n) {
      const std::int64_t position = set.first_position + n;
      if (problem.position == Position::rope) {
        rotate_row(rotary, position, set.from.row(b, h, n), set.to.row(b, h, n));
      } else {
        HWY_DYNAMIC_DISPATCH(add_row_entry)
        (set.from.row(b, h, n), sinusoidal.row(position), problem.dim_qk, set.to.row(b, h, n));
        count_additions(problem.dim_qk);
      }
    }
  }
};

RowPlacer::RowPlacer(const Problem& problem) {
  auto tables = std::make_unique<Tables>();
  tables->problem = problem;
  const std::int64_t first = std::min<std::int64_t>(0, problem.diagonal());
  const std::int64_t count = problem.seq_k - first;
  if (problem.position == Position::rope) {
    tables->rotary = RotaryTable(problem.dim_qk, first, count, problem.rope);
  } else {
    tables->sinusoidal = SinusoidalTable(problem.dim_qk, first, count);
  }
  tables_ = std::move(tables);
}

RowPlacer::~RowPlacer() = default;

void RowPlacer::place(ConstTensorView q, TensorView placed_q, ConstTensorView k,
                      TensorView placed_k, Executor& executor) const {
  const Problem& p = tables_->problem;
  std::vector<RowSet> sets;
  sets.push_back({q, placed_q, p.diagonal(), false});
  if (p.places_keys()) sets.push_back({k, placed_k, 0, true});
  std::int64_t tasks = 0;
  for (const RowSet& set : sets) tasks += set.tasks();
  executor.parallel_for(tasks, [&](std::int64_t index, int) {
    for (const RowSet& set : sets) {
      if (index < set.tasks()) return tables_->place_block(set, index);
      index -= set.tasks();
    }
  });
}

std::unique_ptr<Plan> with_placed_rows(const Problem& problem, std::unique_ptr<Plan> inner) {
  if (!problem.places_queries()) return inner;
  return std::make_unique<PlacedRowsPlan>(problem, std::move(inner));
}

double placed_rows_flops(const Problem& p) {
  if (!p.places_queries()) return 0;
  std::int64_t rows = p.batch * p.heads_q * p.seq_q;
  for (std::int64_t b = 0; b < p.batch && p.places_keys(); ++b) {
    rows += p.heads_kv * p.key_length(b);
  }
  const double flops_per_element = p.position == Position::rope ? 3 : 1;
  return flops_per_element * static_cast<double>(rows) * static_cast<double>(p.dim_qk);
}

void add_placed_rows_cost(const Problem& p, Cost& cost) {
  if (!p.places_queries()) return;
  cost.workspace_bytes += workspace_take_bytes(floats_of(query_shape(p)));
  if (p.places_keys()) cost.workspace_bytes += workspace_take_bytes(floats_of(key_shape(p)));
  cost.performed_flops += placed_rows_flops(p);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
