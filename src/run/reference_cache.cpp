#include "run/reference_cache.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "attention/score_terms.h"
#include "measure/clock.h"

namespace attnbench::run {
namespace {

double row_macs(const Problem& problem) {
  return static_cast<double>(problem.seq_k) * static_cast<double>(problem.dim_qk + problem.dim_v);
}

double row_count(const Problem& problem) {
  return static_cast<double>(problem.batch) * static_cast<double>(problem.heads_q) *
         static_cast<double>(problem.seq_q);
}

std::string variant_key(const Variant& variant, const ParamValues& params) {
  return variant.info().name + '\n' + params.canonical();
}

/// Cuts the rows where the head changes, so that work done once per head is not repeated; softmax
/// rows, which have none, also into pieces small enough for all threads.
std::vector<std::span<const RowIndex>> pieces_of(const std::vector<RowIndex>& rows,
                                                 bool within_heads) {
  constexpr std::size_t kPiece = 32;
  std::vector<std::span<const RowIndex>> pieces;
  for (std::size_t from = 0; from < rows.size();) {
    std::size_t to = from + 1;
    while (to < rows.size() && rows[to].batch == rows[from].batch &&
           rows[to].head == rows[from].head && !(within_heads && to - from >= kPiece)) {
      ++to;
    }
    pieces.emplace_back(rows.data() + from, to - from);
    from = to;
  }
  return pieces;
}

/// The rows in pieces, on all threads, put together again.
ReferenceRows in_parallel(const std::vector<RowIndex>& rows, bool within_heads, Executor& executor,
                          const std::function<ReferenceRows(std::span<const RowIndex>)>& evaluate) {
  const auto pieces = pieces_of(rows, within_heads);
  std::vector<ReferenceRows> parts(pieces.size());
  executor.parallel_for(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i, int) {
    const auto at = static_cast<std::size_t>(i);
    parts[at] = evaluate(pieces[at]);
  });
  ReferenceRows all;
  const bool any_undecided =
      std::ranges::any_of(parts, [](const ReferenceRows& part) { return !part.undecided.empty(); });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    all.values.insert(all.values.end(), parts[i].values.begin(), parts[i].values.end());
    if (!any_undecided) continue;
    if (parts[i].undecided.empty()) parts[i].undecided.resize(pieces[i].size(), false);
    all.undecided.insert(all.undecided.end(), parts[i].undecided.begin(), parts[i].undecided.end());
  }
  return all;
}

/// The first and the last row, then all others in an order drawn from the seed.
std::vector<std::size_t> drawn_order(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (count < 3) return order;
  std::swap(order[1], order[count - 1]);
  const CounterRng rng(seed, "order of the verified rows");
  for (std::size_t i = count - 1; i > 2; --i) {
    std::swap(order[i], order[2 + rng.bits(i) % (i - 1)]);
  }
  return order;
}

struct EvaluatedRow {
  std::size_t at = 0;
  std::vector<double> values;
  bool undecided = false;
};

DefinitionRows in_order(std::vector<EvaluatedRow> done, const std::vector<RowIndex>& rows) {
  std::ranges::sort(done, {}, &EvaluatedRow::at);
  DefinitionRows result;
  for (const EvaluatedRow& row : done) {
    result.at.push_back(row.at);
    result.rows.push_back(rows[row.at]);
    result.expected.values.insert(result.expected.values.end(), row.values.begin(),
                                  row.values.end());
    result.expected.undecided.push_back(row.undecided);
  }
  return result;
}

bool is_softmax(const Variant& variant) {
  const Exactness exactness = variant.info().exactness;
  return (exactness == Exactness::exact || exactness == Exactness::exact_under_mask) &&
         dynamic_cast<const SoftmaxVariant*>(&variant) != nullptr;
}

MaskFunction mask_of(const Problem& problem, const Variant& variant, const ParamValues& params) {
  return [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    return variant.allows(problem, params, b, h, i, j);
  };
}

float to_float(double value) { return static_cast<float>(value); }

struct PlainRow {
  double largest_logit = 0;
  double difference = 0;
  double norm = 0;
};

/// One row of softmax attention, every step in float32, against its float64 values.
PlainRow plain_row(const Problem& p, const Inputs& inputs, const RowIndex& row,
                   const MaskFunction& mask, const double* expected) {
  const std::int64_t kv = row.head / p.group();
  const auto scale = static_cast<float>(p.scale_or_default());
  const RowPlacement placement(p);
  const auto placed = [&](bool wanted, const float* values, std::int64_t position) {
    std::vector<float> copy(values, values + p.dim_qk);
    if (wanted) std::ranges::transform(placement.placed(values, position), copy.begin(), to_float);
    return copy;
  };
  const std::vector<float> q = placed(
      p.places_queries(), inputs.q.row(row.batch, row.head, row.query), row.query + p.diagonal());
  PlainRow result;
  std::vector<float> weight;
  std::vector<std::int64_t> keys;
  for (std::int64_t j = 0; j < p.seq_k; ++j) {
    if (!mask(row.batch, row.head, row.query, j) ||
        !file_mask_allows(p, row.batch, row.head, row.query, j)) {
      continue;
    }
    const std::vector<float> k = placed(p.places_keys(), inputs.k.row(row.batch, kv, j), j);
    float product = 0;
    for (std::size_t d = 0; d < q.size(); ++d) product += q[d] * k[d];
    const float logit =
        to_float(shaped_logit(p, static_cast<double>(scale * product), row.head, row.query, j)) +
        to_float(mask_value(p, row.batch, row.head, row.query, j));
    result.largest_logit =
        std::max({result.largest_logit, static_cast<double>(std::abs(scale * product)),
                  p.mask == nullptr ? 0.0 : static_cast<double>(std::abs(logit))});
    weight.push_back(logit);
    keys.push_back(j);
  }
  const float sink = p.sink.empty() ? -std::numeric_limits<float>::infinity()
                                    : p.sink[static_cast<std::size_t>(row.head)];
  float largest = sink;
  for (float w : weight) largest = std::max(largest, w);
  float total = keys.empty() ? 0 : std::exp(sink - largest);
  for (float& w : weight) total += w = std::exp(w - largest);
  std::vector<float> out(static_cast<std::size_t>(p.dim_v), 0.0F);
  for (std::size_t t = 0; t < keys.size(); ++t) {
    const float* v = inputs.v.row(row.batch, kv, keys[t]);
    for (std::size_t d = 0; d < out.size(); ++d) out[d] += weight[t] / total * v[d];
  }
  for (std::size_t d = 0; d < out.size(); ++d) {
    const double delta = static_cast<double>(out[d]) - expected[d];
    result.difference += delta * delta;
    result.norm += expected[d] * expected[d];
  }
  return result;
}

}  // namespace

std::int64_t checked_rows(const Problem& problem) {
  const double all = row_count(problem);
  if (all * row_macs(problem) <= kAllRowsMacs) return static_cast<std::int64_t>(all);
  const double sampled = std::floor(kSampledRowsMacs / row_macs(problem));
  return static_cast<std::int64_t>(
      std::min(all, std::max(static_cast<double>(kFewestRows), sampled)));
}

double reference_macs(const Problem& problem) {
  return static_cast<double>(checked_rows(problem)) * row_macs(problem);
}

ReferenceCache::ReferenceCache(const Problem& problem, const Inputs& inputs, std::uint64_t seed,
                               std::int64_t max_rows, double allotment_s)
    : problem_(problem), inputs_(inputs), seed_(seed), allotment_s_(allotment_s) {
  const std::int64_t count = max_rows > 0 ? max_rows : checked_rows(problem);
  rows_ = sample_rows(problem_, count, seed);
  all_rows_ = static_cast<double>(rows_.size()) >= row_count(problem_);
}

std::string ReferenceCache::softmax_key(const Variant& variant, const ParamValues& params) {
  const std::string own = variant_key(variant, params);
  if (const auto found = softmax_keys_.find(own); found != softmax_keys_.end()) {
    return found->second;
  }
  // Asking the mask costs a hundredth of what the softmax rows themselves cost.
  bool is_base = true;
  for (std::size_t r = 0; is_base && r < rows_.size(); ++r) {
    const RowIndex& row = rows_[r];
    for (std::int64_t j = 0; is_base && j < problem_.seq_k; ++j) {
      is_base = variant.allows(problem_, params, row.batch, row.head, row.query, j) ==
                base_mask_allows(problem_, row.batch, row.query, j);
    }
  }
  return softmax_keys_[own] = is_base ? "" : own;
}

const SoftmaxRows& ReferenceCache::softmax(const Variant& variant, const ParamValues& params,
                                           Executor& executor) {
  const std::string key = softmax_key(variant, params);
  if (const auto found = softmax_.find(key); found != softmax_.end()) return found->second;
  const MaskFunction mask = mask_of(problem_, variant, params);
  SoftmaxRows result;
  result.values =
      in_parallel(rows_, true, executor, [&](std::span<const RowIndex> piece) {
        return ReferenceRows{softmax_attention_rows(problem_, inputs_, piece, mask), {}};
      }).values;
  result.mean_v_error = mean_v_error(problem_, inputs_, rows_, result.values);
  return softmax_[key] = std::move(result);
}

const DefinitionRows& ReferenceCache::affordable_definition(const Variant& variant,
                                                            const ParamValues& params,
                                                            const AuxSet& aux, Executor& executor) {
  return cached_definition(variant, params, aux, executor, allotment_s_);
}

const ReferenceRows& ReferenceCache::definition(const Variant& variant, const ParamValues& params,
                                                const AuxSet& aux, Executor& executor) {
  constexpr double kUnlimited_s = std::numeric_limits<double>::infinity();
  return cached_definition(variant, params, aux, executor, kUnlimited_s).expected;
}

const DefinitionRows& ReferenceCache::cached_definition(const Variant& variant,
                                                        const ParamValues& params,
                                                        const AuxSet& aux, Executor& executor,
                                                        double allotment_s) {
  const bool shared = is_softmax(variant);
  const std::string key =
      shared ? "softmax\n" + softmax_key(variant, params) : variant_key(variant, params);
  if (const auto found = definitions_.find(key); found != definitions_.end()) {
    const bool complete = found->second.rows.size() == rows_.size();
    if (complete || std::isfinite(allotment_s)) return found->second;
  }
  if (!shared) {
    return definitions_[key] = evaluate(variant, params, aux, executor, allotment_s);
  }
  DefinitionRows all;
  all.at.resize(rows_.size());
  std::iota(all.at.begin(), all.at.end(), std::size_t{0});
  all.rows = rows_;
  all.expected.values = softmax(variant, params, executor).values;
  return definitions_[key] = std::move(all);
}

DefinitionRows ReferenceCache::evaluate(const Variant& variant, const ParamValues& params,
                                        const AuxSet& aux, Executor& executor,
                                        double allotment_s) const {
  const std::vector<std::size_t> order = drawn_order(rows_.size(), seed_);
  std::vector<EvaluatedRow> done;
  double spent_s = 0, last_s = 0;
  std::size_t last_rows = 1;
  for (std::size_t wanted = kFewestRows; done.size() < order.size(); wanted *= 4) {
    const std::size_t from = done.size(), to = std::min(wanted, order.size());
    // At most as many times dearer than the step before as it has more rows.
    const double growth = static_cast<double>(to - from) / static_cast<double>(last_rows);
    if (from > 0 && spent_s + growth * last_s > allotment_s) break;
    std::vector<std::size_t> at(order.begin() + static_cast<std::ptrdiff_t>(from),
                                order.begin() + static_cast<std::ptrdiff_t>(to));
    std::ranges::sort(at);
    std::vector<RowIndex> rows;
    for (std::size_t i : at) rows.push_back(rows_[i]);
    const double begin_s = measure::steady_now_s();
    const ReferenceRows part =
        in_parallel(rows, false, executor, [&](std::span<const RowIndex> piece) {
          return variant.reference({problem_, params, aux, inputs_, piece});
        });
    last_s = measure::steady_now_s() - begin_s;
    spent_s += last_s;
    last_rows = to - from;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto dim = static_cast<std::ptrdiff_t>(part.values.size() / at.size());
      const auto value = part.values.begin() + static_cast<std::ptrdiff_t>(i) * dim;
      done.push_back({at[i], std::vector<double>(value, value + dim),
                      !part.undecided.empty() && part.undecided[i]});
    }
  }
  return in_order(std::move(done), rows_);
}

const ReferenceCache::PlainFloat& ReferenceCache::plain_float(const Variant& variant,
                                                              const ParamValues& params,
                                                              Executor& executor) {
  const std::string key = softmax_key(variant, params);
  if (const auto found = plain_.find(key); found != plain_.end()) return found->second;
  const SoftmaxRows& expected = softmax(variant, params, executor);
  const MaskFunction mask = mask_of(problem_, variant, params);
  std::vector<PlainRow> parts(rows_.size());
  executor.parallel_for(static_cast<std::int64_t>(rows_.size()), [&](std::int64_t i, int) {
    const auto at = static_cast<std::size_t>(i);
    parts[at] = plain_row(problem_, inputs_, rows_[at], mask,
                          expected.values.data() + at * static_cast<std::size_t>(problem_.dim_v));
  });
  PlainFloat result;
  double difference = 0, norm = 0;
  for (const PlainRow& part : parts) {
    result.largest_logit = std::max(result.largest_logit, part.largest_logit);
    difference += part.difference;
    norm += part.norm;
  }
  result.relative_l2 = norm > 0 ? std::sqrt(difference / norm) : 0;
  return plain_[key] = result;
}

}  // namespace attnbench::run
