#include "run/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <span>

#include "attention/reference.h"
#include "kernels/arena.h"
#include "run/arena_pool.h"
#include "run/prepared_case.h"
#include "run/reference_cache.h"

namespace attnbench {
namespace run {
namespace {

/// The conformance bound: the variant's own up to logits of 100; beyond, rounding alone may cost
/// more, and twice the error of a plain float32 evaluation plus 1e-6 is allowed.
double tolerance_of(const PreparedCase& prepared, ReferenceCache& references, double error,
                    Executor& executor) {
  const Variant& variant = *prepared.spec().variant;
  const double own = variant.definition_tolerance();
  const bool softmax = dynamic_cast<const SoftmaxVariant*>(&variant) != nullptr;
  if (error <= own || !softmax) return own;
  const auto& plain = references.plain_float(variant, prepared.params(), executor);
  return plain.largest_logit > 100 ? std::max(own, 2 * plain.relative_l2 + 1e-6) : own;
}

std::string failure_text(const Verification& v, std::int64_t decided) {
  if (decided == 0) return "no checked row could be decided: nothing was verified";
  return fmt::format(
      "definition_rel_l2 is {:.3g}, above {:.3g}; worst row: batch {} head {} query {}, off by "
      "{:.3g} of its norm",
      v.definition_rel_l2, v.tolerance, v.worst_row.batch, v.worst_row.head, v.worst_row.query,
      v.worst_row_rel);
}

std::vector<HeadFigures> per_head(const PreparedCase& prepared, ConstTensorView output,
                                  ReferenceCache& references, Executor& executor) {
  const Variant& variant = *prepared.spec().variant;
  const auto& rows = references.rows();
  const auto dim = static_cast<std::size_t>(output.shape[3]);
  const ReferenceRows& definition =
      references.definition(variant, prepared.params(), prepared.aux(), executor);
  const SoftmaxRows* softmax = variant.info().exactness == Exactness::different
                                   ? nullptr
                                   : &references.softmax(variant, prepared.params(), executor);
  const auto part = [&](const std::vector<double>& values, std::size_t from, std::size_t to) {
    return std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(from * dim),
                               values.begin() + static_cast<std::ptrdiff_t>(to * dim));
  };
  std::vector<HeadFigures> heads;
  for (std::size_t from = 0, to = 0; from < rows.size(); from = to) {
    for (to = from + 1; to < rows.size() && rows[to].batch == rows[from].batch &&
                        rows[to].head == rows[from].head;) {
      ++to;
    }
    const std::span<const RowIndex> mine(rows.data() + from, to - from);
    ReferenceRows expected{part(definition.values, from, to), {}};
    if (!definition.undecided.empty()) {
      expected.undecided.assign(definition.undecided.begin() + static_cast<std::ptrdiff_t>(from),
                                definition.undecided.begin() + static_cast<std::ptrdiff_t>(to));
    }
    HeadFigures figures;
    figures.batch = rows[from].batch;
    figures.head = rows[from].head;
    const ErrorFigures own = compare_rows(output, mine, expected);
    figures.rows = own.rows;
    figures.definition_rel_l2 = own.relative_l2;
    if (softmax != nullptr) {
      figures.error_rel_l2 =
          compare_rows(output, mine, {part(softmax->values, from, to), {}}).relative_l2;
    }
    heads.push_back(figures);
  }
  return heads;
}

}  // namespace

void poison(Tensor& output) {
  std::ranges::fill(output.buffer().span(), std::numeric_limits<float>::quiet_NaN());
}

Tensor make_output(const Problem& p) {
  return Tensor({p.batch, p.heads_q, p.seq_q, p.dim_v}, p.layout);
}

Verification verify_output(const PreparedCase& prepared, ConstTensorView output,
                           ReferenceCache& references, Executor& executor) {
  const Variant& variant = *prepared.spec().variant;
  const auto& rows = references.rows();
  const ReferenceRows& definition =
      references.definition(variant, prepared.params(), prepared.aux(), executor);
  const ErrorFigures figures = compare_rows(output, rows, definition);
  Verification v;
  v.definition_rel_l2 = figures.relative_l2;
  v.worst_row = figures.worst_row;
  v.worst_row_rel = figures.worst_row_rel;
  v.checked_rows = static_cast<std::int64_t>(rows.size());
  v.undecided_rows = v.checked_rows - figures.rows;
  v.error_reference = references.all_rows_checked() ? std::string("all rows")
                                                    : fmt::format("{} sampled rows", rows.size());
  v.tolerance = tolerance_of(prepared, references, figures.relative_l2, executor);
  // Written so that a NaN does not pass.
  v.passed = figures.rows > 0 && v.definition_rel_l2 <= v.tolerance;
  if (!v.passed) v.reason = failure_text(v, figures.rows);
  if (variant.info().exactness != Exactness::different) {
    const SoftmaxRows& softmax = references.softmax(variant, prepared.params(), executor);
    const ErrorFigures error = compare_rows(output, rows, {softmax.values, {}});
    v.error_rel_l2 = error.relative_l2;
    v.error_max_abs = error.max_abs;
    v.error_mean_v = softmax.mean_v_error;
  }
  v.workspace_peak_bytes = static_cast<std::int64_t>(prepared.workspace().peak_bytes());
  const auto model = static_cast<std::int64_t>(prepared.spec().cost.workspace_bytes);
  if (v.passed && v.workspace_peak_bytes != model) {
    v.passed = false;
    v.reason = fmt::format("{} bytes of workspace were taken, the cost model says {}",
                           v.workspace_peak_bytes, model);
  }
  return v;
}

}  // namespace run

Result<Verification> verify_case(const Case& spec, std::uint64_t seed, std::int64_t max_rows) {
  try {
    auto prepared = run::PreparedCase::create(spec, seed);
    if (!prepared) return prepared.error();
    const InputTensors tensors = draw_inputs(spec.problem, spec.input, seed);
    Tensor output = run::make_output(spec.problem);
    run::poison(output);
    run::ArenaPool arenas;
    Status status = (*prepared)->try_run(tensors.view(), output.view(), arenas.at(spec.threads));
    if (!status) return status.error();
    run::ReferenceCache references(spec.problem, tensors.view(), seed, max_rows);
    Executor& all = arenas.at(kernels::available_cpus());
    Verification v = run::verify_output(**prepared, output.view(), references, all);
    v.heads = run::per_head(**prepared, output.view(), references, all);
    return v;
  } catch (...) {
    return run::current_exception_error();
  }
}

}  // namespace attnbench
