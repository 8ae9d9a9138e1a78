// Pieces of float64 definitions of variants whose logits are not scale q.k.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "attention/score_terms.h"
#include "attention/variant.h"

namespace attnbench {

/// a . b in float64.
template <class A, class B>
double dot64(const A* a, const B* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t d = 0; d < n; ++d) sum += static_cast<double>(a[d]) * static_cast<double>(b[d]);
  return sum;
}

/// W x in float64, W [rows][columns] row-major.
template <class X>
std::vector<double> product64(const float* w, std::int64_t rows, std::int64_t columns, const X* x) {
  std::vector<double> y;
  for (std::int64_t r = 0; r < rows; ++r) y.push_back(dot64(w + r * columns, x, columns));
  return y;
}

/// Rows of Q and K in float64, with the problem's position encoding applied. Keys of the head that
/// was asked for last are kept: callers go head by head.
class PlacedInputs {
 public:
  /// Refers to both.
  PlacedInputs(const Problem& problem, const Inputs& inputs);
  void start_row(const RowIndex& row);
  /// Whether the row is of another head of keys than the one before.
  bool is_new_head() const { return new_head_; }
  const double* query() const { return query_.data(); }
  const double* key(std::int64_t j);

 private:
  const Problem& problem_;
  const Inputs& inputs_;
  RowPlacement placement_;
  std::vector<double> query_;
  std::vector<std::vector<double>> keys_;  // Empty until asked for.
  std::int64_t batch_ = -1, head_ = -1;
  bool new_head_ = true;
};

/// The logit of an allowed pair from its score s: soft cap, ALiBi's bias, the value of an additive
/// mask.
double finished_logit(const Problem& problem, const RowIndex& row, std::int64_t j, double s);

/// softmax(logits), zero everywhere when every logit is -infinity (no key is allowed).
std::vector<double> softmax64(std::span<const double> logits);

/// The same with the sink of the row's head, where there is one, in the sum.
std::vector<double> softmax_with_sink(const Problem& problem, const RowIndex& row,
                                      std::span<const double> logits);

/// Whether the logits of two keys are the same in any arithmetic: the same vectors, and the same
/// done to both.
bool ties_exactly(const Problem& problem, const Inputs& inputs, const RowIndex& row, std::int64_t a,
                  std::int64_t b);

/// Appends sum_j weights[j] v_j, [Dv], to `values`. Keys of zero weight are not read.
void append_weighted_values(const Problem& problem, const Inputs& inputs, const RowIndex& row,
                            std::span<const double> weights, std::vector<double>& values);

}  // namespace attnbench
