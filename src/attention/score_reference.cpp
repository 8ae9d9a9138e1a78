#include "attention/score_reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace attnbench {

PlacedInputs::PlacedInputs(const Problem& p, const Inputs& inputs)
    : problem_(p), inputs_(inputs), placement_(p), keys_(static_cast<std::size_t>(p.seq_k)) {}

void PlacedInputs::start_row(const RowIndex& row) {
  const Problem& p = problem_;
  const std::int64_t head = row.head / p.group();
  query_ =
      placement_.placed(inputs_.q.row(row.batch, row.head, row.query), row.query + p.diagonal());
  new_head_ = batch_ != row.batch || head_ != head;
  if (!new_head_) return;
  batch_ = row.batch;
  head_ = head;
  for (auto& key : keys_) key.clear();
}

const double* PlacedInputs::key(std::int64_t j) {
  std::vector<double>& key = keys_[static_cast<std::size_t>(j)];
  if (key.empty()) {
    const float* from = inputs_.k.row(batch_, head_, j);
    if (problem_.places_keys()) {
      key = placement_.placed(from, j);
    } else {
      key.assign(from, from + problem_.dim_qk);
    }
  }
  return key.data();
}

double finished_logit(const Problem& p, const RowIndex& row, std::int64_t j, double s) {
  return shaped_logit(p, s, row.head, row.query, j) +
         mask_value(p, row.batch, row.head, row.query, j);
}

bool ties_exactly(const Problem& p, const Inputs& inputs, const RowIndex& row, std::int64_t a,
                  std::int64_t b) {
  if (a == b) return true;
  if (p.places_keys() || p.position == Position::alibi) return false;
  const auto value = [&](std::int64_t j) {
    return mask_value(p, row.batch, row.head, row.query, j);
  };
  const auto key = [&](std::int64_t j) { return inputs.k.row(row.batch, row.head / p.group(), j); };
  return value(a) == value(b) &&
         std::memcmp(key(a), key(b), static_cast<std::size_t>(p.dim_qk) * sizeof(float)) == 0;
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

std::vector<double> softmax_with_sink(const Problem& p, const RowIndex& row,
                                      std::span<const double> logits) {
  std::vector<double> all(logits.begin(), logits.end());
  if (!p.sink.empty()) all.push_back(p.sink[static_cast<std::size_t>(row.head)]);
  std::vector<double> weights = softmax64(all);
  weights.resize(logits.size());  // The sink has no value.
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
