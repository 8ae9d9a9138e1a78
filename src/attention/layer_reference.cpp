#include "attention/layer_reference.h"

#include <cmath>
#include <utility>

#include "attention/score_reference.h"
#include "attention/weight_matrices.h"

namespace attnbench {
namespace {

/// Row n of a tensor with its heads side by side.
std::vector<double> wide_row(ConstTensorView heads, std::int64_t b, std::int64_t n) {
  std::vector<double> row;
  for (std::int64_t h = 0; h < heads.shape[1]; ++h) {
    row.insert(row.end(), heads.row(b, h, n), heads.row(b, h, n) + heads.shape[3]);
  }
  return row;
}

}  // namespace

LayerReference::LayerReference(Problem inner, const LayerRows& rows, const AuxSet& aux)
    : inner_(std::move(inner)), rows_(rows), aux_(aux), placement_(inner_) {}

/// The placed keys of all heads of one token, kept for the batch row that was asked for last.
const std::vector<double>& LayerReference::placed_keys(std::int64_t batch, std::int64_t j) {
  if (batch_ != batch) keys_.assign(static_cast<std::size_t>(inner_.seq_k), {});
  batch_ = batch;
  std::vector<double>& all = keys_[static_cast<std::size_t>(j)];
  if (!all.empty()) return all;
  const auto x = wide_row(rows_.x_k, batch, j);
  for (std::int64_t h = 0; h < inner_.heads_kv; ++h) {
    const auto key =
        placement_.placed(row_times64(x, aux_.at("Wk"), h * inner_.dim_qk, inner_.dim_qk), j);
    all.insert(all.end(), key.begin(), key.end());
  }
  return all;
}

/// q . (x'_j Wk_h), of keys that are not placed taken as (Wk_h q) . x'_j: the same, without K of
/// all keys.
std::vector<std::vector<double>> LayerReference::logits_of(std::int64_t batch, std::int64_t query) {
  const auto heads = static_cast<std::size_t>(inner_.heads_q);
  const std::int64_t dim = inner_.dim_qk;
  const bool placed = inner_.places_keys();
  const auto x = wide_row(rows_.x, batch, query);
  std::vector<std::vector<double>> queries;
  for (std::size_t h = 0; h < heads; ++h) {
    const auto q = row_times64(x, aux_.at("Wq"), static_cast<std::int64_t>(h) * dim, dim);
    queries.push_back(placed ? placement_.placed(q, query + inner_.diagonal())
                             : times_column64(aux_.at("Wk"), kv_head(h) * dim, q));
  }
  std::vector<std::vector<double>> logits(heads);
  for (std::int64_t j = 0; j < inner_.seq_k && base_mask_allows(inner_, batch, query, j); ++j) {
    const std::vector<double> key = placed ? placed_keys(batch, j) : wide_row(rows_.x_k, batch, j);
    for (std::size_t h = 0; h < heads; ++h) {
      const RowIndex row{batch, static_cast<std::int64_t>(h), query};
      if (!file_mask_allows(inner_, batch, row.head, query, j)) {
        logits[h].push_back(-INFINITY);
        continue;
      }
      const double* k = key.data() + (placed ? kv_head(h) * dim : 0);
      const double product =
          dot64(queries[h].data(), k, static_cast<std::int64_t>(queries[h].size()));
      logits[h].push_back(finished_logit(inner_, row, j, inner_.scale_or_default() * product));
    }
  }
  return logits;
}

/// The mean of the rows x''_j under the weights, times Wv_h, which needs no V of all keys.
std::vector<double> LayerReference::context(std::int64_t batch, std::int64_t query) {
  auto weights = logits_of(batch, query);
  for (std::size_t h = 0; h < weights.size(); ++h) {
    weights[h] =
        softmax_with_sink(inner_, {batch, static_cast<std::int64_t>(h), query}, weights[h]);
  }
  const auto width = static_cast<std::size_t>(rows_.x_v.shape[1] * rows_.x_v.shape[3]);
  std::vector<std::vector<double>> means(weights.size(), std::vector<double>(width));
  for (std::size_t j = 0; j < weights[0].size(); ++j) {
    const auto value = wide_row(rows_.x_v, batch, static_cast<std::int64_t>(j));
    for (std::size_t h = 0; h < weights.size(); ++h) {
      for (std::size_t d = 0; d < width; ++d) means[h][d] += weights[h][j] * value[d];
    }
  }
  std::vector<double> context;
  for (std::size_t h = 0; h < weights.size(); ++h) {
    const auto out = row_times64(means[h], aux_.at("Wv"), kv_head(h) * inner_.dim_v, inner_.dim_v);
    context.insert(context.end(), out.begin(), out.end());
  }
  return context;
}

}  // namespace attnbench
