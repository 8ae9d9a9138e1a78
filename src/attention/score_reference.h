// Pieces of float64 definitions of variants whose logits are not scale q.k.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "attention/variant.h"

namespace attnbench {

/// a . b in float64.
double dot64(const float* a, const float* b, std::int64_t n);

/// W x in float64, W [rows][columns] row-major.
std::vector<double> product64(const float* w, std::int64_t rows, std::int64_t columns,
                              const float* x);

/// softmax(logits), zero everywhere when every logit is -infinity (no key is allowed).
std::vector<double> softmax64(std::span<const double> logits);

/// Appends sum_j weights[j] v_j, [Dv], to `values`. Keys of zero weight are not read.
void append_weighted_values(const Problem& problem, const Inputs& inputs, const RowIndex& row,
                            std::span<const double> weights, std::vector<double>& values);

}  // namespace attnbench
