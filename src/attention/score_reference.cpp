#include "attention/score_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attnbench {

double dot64(const float* a, const float* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t d = 0; d < n; ++d) sum += static_cast<double>(a[d]) * static_cast<double>(b[d]);
  return sum;
}

std::vector<double> product64(const float* w, std::int64_t rows, std::int64_t columns,
                              const float* x) {
  std::vector<double> y;
  for (std::int64_t r = 0; r < rows; ++r) y.push_back(dot64(w + r * columns, x, columns));
  return y;
}

std::vector<double> softmax64(std::span<const double> logits) {
  double largest = -std::numeric_limits<double>::infinity();
  for (double s : logits) largest = std::max(largest, s);
  std::vector<double> weights(logits.size(), 0.0);
  if (std::isinf(largest) && largest < 0) return weights;
  double total = 0;
  for (std::size_t j = 0; j < logits.size(); ++j) {
    weights[j] = std::exp(logits[j] - largest);
    total += weights[j];
  }
  for (double& w : weights) w /= total;
  return weights;
}

void append_weighted_values(const Problem& p, const Inputs& inputs, const RowIndex& row,
                            std::span<const double> weights, std::vector<double>& values) {
  const std::size_t at = values.size();
  values.resize(at + static_cast<std::size_t>(p.dim_v), 0.0);
  for (std::size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] == 0) continue;
    const float* v = inputs.v.row(row.batch, row.head / p.group(), static_cast<std::int64_t>(j));
    for (std::size_t d = 0; d < static_cast<std::size_t>(p.dim_v); ++d) {
      values[at + d] += weights[j] * static_cast<double>(v[d]);
    }
  }
}

}  // namespace attnbench
