// Softmax attention in float64, for clarity, not speed: the oracle of every test and of every
// verification. Order of operations: positions, logits = scale q.k, soft cap, bias (the values of
// an additive mask among it), mask, sink, softmax (score_terms.h, docs/design.md); a row with no
// allowed key is zero.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "attention/variant.h"

namespace attnbench {

/// Inner product in float64. Eight partial sums, so that a sweep spends its time in kernels and not
/// here.
template <class A, class B>
double dot(const A* a, const B* b, std::int64_t n) {
  double partial[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int p = 0; p < 8; ++p) {
      partial[p] += static_cast<double>(a[i + p]) * static_cast<double>(b[i + p]);
    }
  }
  for (; i < n; ++i) partial[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

/// Whether (batch row, query head, query, key) takes part.
using MaskFunction =
    std::function<bool(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)>;

/// Rows of softmax(scale Q K^T + mask) V, [rows][Dv], with the problem's position, softcap and
/// sink, under `mask` and the problem's mask from a file.
std::vector<double> softmax_attention_rows(const Problem& problem, const Inputs& inputs,
                                           std::span<const RowIndex> rows,
                                           const MaskFunction& mask);

/// Every row of the output, in [B, H, N] order.
std::vector<RowIndex> all_rows(const Problem& problem);

/// At most `count` rows: from the first, the last and a few drawn heads, always with the first and
/// the last query, the rest drawn from `seed`. All rows when there are no more than `count`.
std::vector<RowIndex> sample_rows(const Problem& problem, std::int64_t count, std::uint64_t seed);

/// How far `output` (float32) is from `expected` ([rows][Dv]).
struct ErrorFigures {
  double relative_l2 = 0;  ///< Frobenius norm of the difference over that of `expected`.
  double max_abs = 0;
  std::int64_t rows = 0;
  RowIndex worst_row;        ///< The row with the largest L2 difference.
  double worst_row_rel = 0;  ///< Its difference over the norm of `expected` in that row.
};

/// Rows marked undecided are left out. A zero reference demands a zero output, and a non-finite
/// output never passes: both give an infinite error.
ErrorFigures compare_rows(ConstTensorView output, std::span<const RowIndex> rows,
                          const ReferenceRows& expected);

/// Relative L2 error of answering mean(V over allowed keys of the base mask's key lengths) in every
/// row: what an approximation must beat.
double mean_v_error(const Problem& problem, const Inputs& inputs, std::span<const RowIndex> rows,
                    std::span<const double> expected);

}  // namespace attnbench
