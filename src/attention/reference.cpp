#include "attention/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "attention/inputs.h"
#include "attention/score_terms.h"

namespace attnbench {
namespace {

/// The products q.k of one query row after another, with the problem's position encoding applied.
/// Placed keys are kept for the head that was asked for last: callers go head by head.
class PlacedProducts {
 public:
  PlacedProducts(const Problem& p, const Inputs& inputs)
      : p_(p), inputs_(inputs), placement_(p), keys_(static_cast<std::size_t>(p.seq_k)) {}

  void start_row(const RowIndex& row) {
    const std::int64_t kv = row.head / p_.group();
    q_ = inputs_.q.row(row.batch, row.head, row.query);
    if (p_.places_queries()) placed_q_ = placement_.placed(q_, row.query + p_.diagonal());
    if (batch_ == row.batch && kv_ == kv) return;
    batch_ = row.batch;
    kv_ = kv;
    for (auto& key : keys_) key.clear();
  }

  double with_key(std::int64_t j) {
    const float* k = inputs_.k.row(batch_, kv_, j);
    if (!p_.places_queries()) return dot(q_, k, p_.dim_qk);
    if (!p_.places_keys()) return dot(placed_q_.data(), k, p_.dim_qk);
    std::vector<double>& placed = keys_[static_cast<std::size_t>(j)];
    if (placed.empty()) placed = placement_.placed(k, j);
    return dot(placed_q_.data(), placed.data(), p_.dim_qk);
  }

 private:
  const Problem& p_;
  const Inputs& inputs_;
  RowPlacement placement_;
  const float* q_ = nullptr;
  std::vector<double> placed_q_;
  std::int64_t batch_ = -1, kv_ = -1;
  std::vector<std::vector<double>> keys_;  // Empty until asked for.
};

}  // namespace

std::vector<double> softmax_attention_rows(const Problem& p, const Inputs& inputs,
                                           std::span<const RowIndex> rows,
                                           const MaskFunction& mask) {
  const double scale = p.scale_or_default();
  std::vector<double> values(rows.size() * static_cast<std::size_t>(p.dim_v), 0.0);
  std::vector<double> weight(static_cast<std::size_t>(p.seq_k));
  std::vector<std::int64_t> keys;
  PlacedProducts products(p, inputs);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto [b, h, i] = rows[r];
    const std::int64_t kv = h / p.group();
    products.start_row(rows[r]);
    keys.clear();
    const double sink = p.sink.empty() ? -std::numeric_limits<double>::infinity()
                                       : static_cast<double>(p.sink[static_cast<std::size_t>(h)]);
    double largest = sink;
    for (std::int64_t j = 0; j < p.seq_k; ++j) {
      if (!mask(b, h, i, j) || !file_mask_allows(p, b, h, i, j)) continue;
      const double logit =
          shaped_logit(p, scale * products.with_key(j), h, i, j) + mask_value(p, b, h, i, j);
      weight[keys.size()] = logit;
      keys.push_back(j);
      largest = std::max(largest, logit);
    }
    if (keys.empty()) continue;
    double total = std::exp(sink - largest);
    for (std::size_t t = 0; t < keys.size(); ++t) {
      weight[t] = std::exp(weight[t] - largest);
      total += weight[t];
    }
    double* out = values.data() + r * static_cast<std::size_t>(p.dim_v);
    for (std::size_t t = 0; t < keys.size(); ++t) {
      const float* v = inputs.v.row(b, kv, keys[t]);
      const double w = weight[t] / total;
      for (std::int64_t d = 0; d < p.dim_v; ++d) out[d] += w * static_cast<double>(v[d]);
    }
  }
  return values;
}

std::vector<RowIndex> all_rows(const Problem& p) {
  std::vector<RowIndex> rows;
  rows.reserve(static_cast<std::size_t>(p.batch * p.heads_q * p.seq_q));
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t h = 0; h < p.heads_q; ++h) {
      for (std::int64_t i = 0; i < p.seq_q; ++i) rows.push_back({b, h, i});
    }
  }
  return rows;
}

std::vector<RowIndex> sample_rows(const Problem& p, std::int64_t count, std::uint64_t seed) {
  const std::int64_t heads = p.batch * p.heads_q;
  if (heads * p.seq_q <= count) return all_rows(p);
  const CounterRng rng(seed, "verified rows");
  std::uint64_t draw = 0;
  const auto pick = [&](std::int64_t n) {
    return static_cast<std::int64_t>(rng.bits(draw++) % static_cast<std::uint64_t>(n));
  };
  // Few heads, so that definitions with a per-head state (features, projections) stay affordable.
  std::set<std::int64_t> head_set{0, heads - 1};
  if (heads > 2) head_set.insert(pick(heads));
  const std::vector<std::int64_t> chosen(head_set.begin(), head_set.end());
  std::set<std::pair<std::int64_t, std::int64_t>> picked;
  for (std::int64_t head : chosen) {
    picked.insert({head, p.seq_q - 1});
    picked.insert({head, 0});
  }
  const std::int64_t available = static_cast<std::int64_t>(chosen.size()) * p.seq_q;
  const std::int64_t wanted = std::min(count, available);
  while (static_cast<std::int64_t>(picked.size()) < wanted) {
    const std::int64_t head =
        chosen[static_cast<std::size_t>(pick(static_cast<std::int64_t>(chosen.size())))];
    picked.insert({head, pick(p.seq_q)});
  }
  std::vector<RowIndex> rows;
  for (const auto& [head, i] : picked) rows.push_back({head / p.heads_q, head % p.heads_q, i});
  return rows;
}

ErrorFigures compare_rows(ConstTensorView output, std::span<const RowIndex> rows,
                          const ReferenceRows& expected) {
  ErrorFigures figures;
  const std::int64_t dim = output.shape[3];
  double difference = 0, norm = 0, worst = -1;
  bool finite = true;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (!expected.undecided.empty() && expected.undecided[r]) continue;
    const RowIndex row = rows[r];
    const float* got = output.row(row.batch, row.head, row.query);
    const double* want = expected.values.data() + r * static_cast<std::size_t>(dim);
    double row_difference = 0, row_norm = 0;
    for (std::int64_t d = 0; d < dim; ++d) {
      const double delta = static_cast<double>(got[d]) - want[d];
      if (!std::isfinite(delta)) finite = false;
      row_difference += delta * delta;
      row_norm += want[d] * want[d];
      figures.max_abs = std::max(figures.max_abs, std::abs(delta));
    }
    difference += row_difference;
    norm += row_norm;
    ++figures.rows;
    // A NaN row compares false with everything: it is the worst there can be.
    if (!(row_difference <= worst)) {
      worst = row_difference;
      figures.worst_row = row;
      figures.worst_row_rel = row_difference == 0 ? 0
                              : row_norm > 0      ? std::sqrt(row_difference / row_norm)
                                                  : std::numeric_limits<double>::infinity();
    }
  }
  const double infinite = std::numeric_limits<double>::infinity();
  if (!finite) {
    figures.relative_l2 = infinite;
    figures.max_abs = infinite;
  } else if (norm > 0) {
    figures.relative_l2 = std::sqrt(difference / norm);
  } else {
    figures.relative_l2 = difference > 0 ? infinite : 0;
  }
  return figures;
}

double mean_v_error(const Problem& p, const Inputs& inputs, std::span<const RowIndex> rows,
                    std::span<const double> expected) {
  const auto dim = static_cast<std::size_t>(p.dim_v);
  double difference = 0, norm = 0;
  std::vector<double> mean(dim);
  std::tuple<std::int64_t, std::int64_t> current{-1, -1};
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const RowIndex row = rows[r];
    const std::int64_t kv = row.head / p.group();
    if (current != std::tuple{row.batch, kv}) {
      current = {row.batch, kv};
      std::ranges::fill(mean, 0.0);
      const std::int64_t keys = p.key_length(row.batch);
      for (std::int64_t j = 0; j < keys; ++j) {
        const float* v = inputs.v.row(row.batch, kv, j);
        for (std::size_t d = 0; d < dim; ++d) mean[d] += static_cast<double>(v[d]);
      }
      for (double& m : mean) m /= static_cast<double>(std::max<std::int64_t>(keys, 1));
    }
    for (std::size_t d = 0; d < dim; ++d) {
      const double want = expected[r * dim + d];
      difference += (mean[d] - want) * (mean[d] - want);
      norm += want * want;
    }
  }
  return norm > 0 ? std::sqrt(difference / norm) : 0;
}

}  // namespace attnbench
