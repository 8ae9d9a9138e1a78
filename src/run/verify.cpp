#include "run/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

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

/// Softmax attention on the rows that the definition was evaluated on; empty for `different`.
ReferenceRows softmax_on(const DefinitionRows& definition, const PreparedCase& prepared,
                         ReferenceCache& references, Executor& executor) {
  const Variant& variant = *prepared.spec().variant;
  if (variant.info().exactness == Exactness::different) return {};
  if (variant.chooses_keys()) return definition.expected;
  const std::vector<double>& all = references.softmax(variant, prepared.params(), executor).values;
  const auto dim = static_cast<std::size_t>(references.problem().dim_v);
  std::vector<double> values;
  values.reserve(definition.at.size() * dim);
  for (std::size_t at : definition.at) {
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(at * dim);
    values.insert(values.end(), row, row + static_cast<std::ptrdiff_t>(dim));
  }
  return {std::move(values), {}};
}

/// `expected`, rows [from, to).
ReferenceRows part_of(const ReferenceRows& expected, std::size_t dim, std::size_t from,
                      std::size_t to) {
  const auto cut = [&](const auto& all, std::size_t width) {
    return std::decay_t<decltype(all)>(all.begin() + static_cast<std::ptrdiff_t>(from * width),
                                       all.begin() + static_cast<std::ptrdiff_t>(to * width));
  };
  ReferenceRows part{cut(expected.values, dim), {}};
  if (!expected.undecided.empty()) part.undecided = cut(expected.undecided, 1);
  return part;
}

std::vector<HeadFigures> per_head(const PreparedCase& prepared, ConstTensorView output,
                                  ReferenceCache& references, Executor& executor) {
  const DefinitionRows& definition = references.affordable_definition(
      *prepared.spec().variant, prepared.params(), prepared.aux(), executor);
  const ReferenceRows softmax = softmax_on(definition, prepared, references, executor);
  const std::vector<RowIndex>& rows = definition.rows;
  const auto dim = static_cast<std::size_t>(output.shape[3]);
  std::vector<HeadFigures> heads;
  for (std::size_t from = 0, to = 0; from < rows.size(); from = to) {
    for (to = from + 1; to < rows.size() && rows[to].batch == rows[from].batch &&
                        rows[to].head == rows[from].head;) {
      ++to;
    }
    const std::span<const RowIndex> mine(rows.data() + from, to - from);
    const ErrorFigures own =
        compare_rows(output, mine, part_of(definition.expected, dim, from, to));
    HeadFigures figures{rows[from].batch, rows[from].head, own.rows, own.relative_l2, {}};
    if (!softmax.values.empty()) {
      figures.error_rel_l2 =
          compare_rows(output, mine, part_of(softmax, dim, from, to)).relative_l2;
    }
    heads.push_back(figures);
  }
  return heads;
}

/// Whether the workspace that was taken is what the cost model says, and why not.
void check_workspace(const PreparedCase& prepared, Verification& v) {
  v.workspace_peak_bytes = static_cast<std::int64_t>(prepared.workspace().peak_bytes());
  const auto model = static_cast<std::int64_t>(prepared.spec().cost.workspace_bytes);
  if (!v.passed || v.workspace_peak_bytes == model) return;
  v.passed = false;
  v.reason = fmt::format("{} bytes of workspace were taken, the cost model says {}",
                         v.workspace_peak_bytes, model);
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
  const DefinitionRows& definition =
      references.affordable_definition(variant, prepared.params(), prepared.aux(), executor);
  const std::vector<RowIndex>& rows = definition.rows;
  const ErrorFigures figures = compare_rows(output, rows, definition.expected);
  Verification v;
  v.definition_rel_l2 = figures.relative_l2;
  v.worst_row = figures.worst_row;
  v.worst_row_rel = figures.worst_row_rel;
  v.checked_rows = static_cast<std::int64_t>(rows.size());
  v.undecided_rows = v.checked_rows - figures.rows;
  const bool all = references.all_rows_checked() && rows.size() == references.rows().size();
  v.error_reference = all ? "all rows" : fmt::format("{} sampled rows", rows.size());
  v.tolerance = tolerance_of(prepared, references, figures.relative_l2, executor);
  // Written so that a NaN does not pass.
  v.passed = figures.rows > 0 && v.definition_rel_l2 <= v.tolerance;
  if (!v.passed) v.reason = failure_text(v, figures.rows);
  const ReferenceRows softmax = softmax_on(definition, prepared, references, executor);
  if (!softmax.values.empty()) {
    const ErrorFigures error = compare_rows(output, rows, softmax);
    v.error_rel_l2 = error.relative_l2;
    v.error_max_abs = error.max_abs;
    v.error_mean_v = mean_v_error(references.problem(), references.inputs(), rows, softmax.values);
  }
  check_workspace(prepared, v);
  return v;
}

}  // namespace run

Result<Verification> verify_case(const Case& spec, std::uint64_t seed, std::int64_t max_rows) {
  try {
    auto prepared = run::PreparedCase::create(spec, seed);
    if (!prepared) return prepared.error();
    const InputTensors tensors = make_inputs(spec, seed);
    Tensor output = run::make_output(spec.problem);
    run::poison(output);
    run::ArenaPool arenas;
    Status status = (*prepared)->try_run(tensors.view(), output.view(), arenas.at(spec.threads));
    if (!status) return status.error();
    constexpr double kAllotment_s = 1;  // There is no sweep to keep short.
    run::ReferenceCache references(spec.problem, tensors.view(), seed, max_rows, kAllotment_s);
    Executor& all = arenas.at(kernels::available_cpus());
    Verification v = run::verify_output(**prepared, output.view(), references, all);
    v.heads = run::per_head(**prepared, output.view(), references, all);
    return v;
  } catch (...) {
    return run::current_exception_error();
  }
}

}  // namespace attnbench
