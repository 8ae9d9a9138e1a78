#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/materialised_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/exp-inl.h"
#include "kernels/logit_terms-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The maximum of row[0, n); four accumulators hide the latency of max.
HWY_INLINE float row_maximum(const float* row, std::int64_t n) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;
  std::int64_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    m0 = hn::Max(m0, hn::LoadU(d, row + j));
    m1 = hn::Max(m1, hn::LoadU(d, row + j + lanes));
    m2 = hn::Max(m2, hn::LoadU(d, row + j + 2 * lanes));
    m3 = hn::Max(m3, hn::LoadU(d, row + j + 3 * lanes));
  }
  for (; j + lanes <= n; j += lanes) m0 = hn::Max(m0, hn::LoadU(d, row + j));
  float maximum = hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
  for (; j < n; ++j) maximum = std::max(maximum, row[j]);
  return maximum;
}

float softmax_row_target(float* row, std::int64_t allowed, std::int64_t keys, float sink) {
  std::fill(row + allowed, row + keys, 0.0F);
  if (allowed == 0) return 0;
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float maximum = std::max(row_maximum(row, allowed), sink);
  if (maximum == -std::numeric_limits<float>::infinity()) {
    std::fill_n(row, allowed, 0.0F);
    return 0;
  }
  const auto shift = hn::Set(d, maximum);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  std::int64_t j = 0;
  for (; j + 2 * lanes <= allowed; j += 2 * lanes) {
    const auto p0 = exp2_nonpositive(d, hn::Sub(hn::LoadU(d, row + j), shift));
    const auto p1 = exp2_nonpositive(d, hn::Sub(hn::LoadU(d, row + j + lanes), shift));
    hn::StoreU(p0, d, row + j);
    hn::StoreU(p1, d, row + j + lanes);
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  if (sink > -std::numeric_limits<float>::infinity()) {
    sum += hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, sink - maximum)));
  }
  for (; j < allowed; ++j) {
    row[j] = hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, row[j] - maximum)));
    sum += row[j];
  }
  return 1 / sum;
}

/// Soft cap and bias of the first `keys` logits of a row.
void shape_row_target(float* row, std::int64_t keys, float softcap, const float* key_positions,
                      float slope, float position) {
  // No slope is 0 but that of a problem without a bias.
  if (slope == 0) return shape_row<true, false>(row, keys, softcap, key_positions, 0, 0);
  const auto shape = softcap > 0 ? shape_row<true, true> : shape_row<false, true>;
  shape(row, keys, softcap, key_positions, slope, position);
}

/// Puts -infinity where bit j % 64 of word j / 64 is not set.
void mask_row_target(const std::uint64_t* bits, std::int64_t keys, float* row) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float none = -std::numeric_limits<float>::infinity();
  std::int64_t j = 0;
  for (; j + lanes <= keys; j += lanes) {
    const std::uint64_t word = bits[j / 64] >> (j % 64);
    const auto read = hn::LoadMaskBits(d, reinterpret_cast<const std::uint8_t*>(&word));
    hn::StoreU(hn::IfThenElse(read, hn::LoadU(d, row + j), hn::Set(d, none)), d, row + j);
  }
  for (; j < keys; ++j) {
    if ((bits[j / 64] >> (j % 64) & 1) == 0) row[j] = none;
  }
}

void scale_row_target(float* row, std::int64_t n, float factor) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, factor);
  std::int64_t j = 0;
  for (; j + lanes <= n; j += lanes) hn::StoreU(hn::Mul(scale, hn::LoadU(d, row + j)), d, row + j);
  for (; j < n; ++j) row[j] *= factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <numbers>

#include "kernels/materialised_softmax.h"
#include "kernels/onednn_gemm.h"
#include "kernels/op_count.h"
#include "kernels/score_modifier.h"
#include "kernels/shared_heads.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(softmax_row_target);
HWY_EXPORT(scale_row_target);
HWY_EXPORT(shape_row_target);
HWY_EXPORT(mask_row_target);

/// Rows [begin, end) of one head.
struct RowBlock {
  std::int64_t batch, head, begin, end;
};

/// Soft cap and bias of a block of rows; only what a row may read. Returns the exps.
std::int64_t shape_rows(const Problem& p, const LogitTerms& terms, float* block,
                        const RowBlock& rows) {
  constexpr std::int64_t kKeys = 256;
  const std::int64_t keys = readable_keys(p, rows.batch, rows.end - 1);
  const float slope = terms.slopes.empty() ? 0 : terms.slopes[static_cast<std::size_t>(rows.head)];
  std::int64_t pairs = 0;
  float positions[kKeys];
  for (std::int64_t from = 0; from < keys; from += kKeys) {
    for (std::int64_t j = 0; j < kKeys; ++j) positions[j] = static_cast<float>(from + j);
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      const std::int64_t here = std::min(readable_keys(p, rows.batch, i) - from, kKeys);
      if (here <= 0) continue;
      HWY_DYNAMIC_DISPATCH(shape_row_target)
      (block + (i - rows.begin) * p.seq_k + from, here, terms.softcap, positions, slope,
       static_cast<float>(i + terms.diagonal));
      pairs += here;
    }
  }
  return terms.softcap > 0 ? pairs : 0;
}

/// What the problem does to the scores of one query, before the softmax.
void modify_row(const Problem& p, const ScoreModifier* modifier, const QueryIndex& at,
                std::int64_t keys, float* row) {
  if (modifier != nullptr) modifier->row(at, {0, keys}, row);
  if (p.mask != nullptr) {
    HWY_DYNAMIC_DISPATCH(mask_row_target)(p.mask->bits(at.batch, at.head, at.query), keys, row);
  }
}

/// What all blocks of rows have in common.
struct RowCall {
  const Problem& problem;
  float scale;
  const LogitTerms& terms;
  const Inputs& inputs;
  TensorView out;
  const ScoreModifier* modifier;
};

void run_rows(const RowCall& call, float* scores, const RowBlock& rows) {
  const Problem& p = call.problem;
  const LogitTerms& terms = call.terms;
  const Inputs& in = call.inputs;
  const TensorView& out = call.out;
  const auto [b, h, begin, end] = rows;
  const std::int64_t kv = h / p.group();
  const std::int64_t keys = readable_keys(p, b, end - 1);
  const std::int64_t count = end - begin;
  if (keys == 0) {
    for (std::int64_t i = begin; i < end; ++i) std::fill_n(out.row(b, h, i), p.dim_v, 0.0F);
    return;
  }
  float* block = scores + begin * p.seq_k;
  onednn_gemm(count, keys, p.dim_qk, call.scale, in.q.row(b, h, begin), in.q.stride[2],
              in.k.row(b, kv, 0), in.k.stride[2], true, block, p.seq_k);
  float inverse_sum[kScoreRows];
  std::int64_t exps = terms.shape_logits() ? shape_rows(p, terms, block, rows) : 0;
  const float sink = terms.sink.empty() ? -std::numeric_limits<float>::infinity()
                                        : terms.sink[static_cast<std::size_t>(h)];
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t allowed = readable_keys(p, b, i);
    float* row = block + (i - begin) * p.seq_k;
    modify_row(p, call.modifier, {b, h, i}, allowed, row);
    inverse_sum[i - begin] = softmax_row(row, allowed, keys, sink);
    exps += allowed + (allowed > 0 && !terms.sink.empty() ? 1 : 0);
  }
  onednn_gemm(count, p.dim_v, keys, 1.0F, block, p.seq_k, in.v.row(b, kv, 0), in.v.stride[2], false,
              out.row(b, h, begin), out.stride[2]);
  for (std::int64_t i = begin; i < end; ++i) {
    HWY_DYNAMIC_DISPATCH(scale_row_target)(out.row(b, h, i), p.dim_v, inverse_sum[i - begin]);
  }
  count_ops(count * keys * (p.dim_qk + p.dim_v), exps);
}

}  // namespace

float softmax_row(float* scores, std::int64_t allowed, std::int64_t keys, float sink) {
  return HWY_DYNAMIC_DISPATCH(softmax_row_target)(scores, allowed, keys, sink);
}

std::int64_t heads_in_flight(const Problem& p, int threads) {
  return std::min<std::int64_t>(p.batch * p.heads_q, threads);
}

std::size_t materialised_softmax_workspace_bytes(const Problem& p, int threads) {
  return static_cast<std::size_t>(heads_in_flight(p, threads)) *
         workspace_take_bytes(static_cast<std::size_t>(p.seq_q * p.seq_k));
}

double materialised_softmax_pairs(const Problem& p) {
  double pairs = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t begin = 0; begin < p.seq_q; begin += kScoreRows) {
      const std::int64_t end = std::min(begin + kScoreRows, p.seq_q);
      pairs += static_cast<double>((end - begin) * readable_keys(p, b, end - 1));
    }
  }
  return pairs * static_cast<double>(p.heads_q);
}

double materialised_softmax_exps(const Problem& p) {
  double exps = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t i = 0; i < p.seq_q; ++i) {
      const std::int64_t keys = readable_keys(p, b, i);
      exps += static_cast<double>(keys) * (p.softcap ? 2 : 1);
      if (keys > 0 && !p.sink.empty()) exps += 1;
    }
  }
  return exps * static_cast<double>(p.heads_q);
}

void materialised_softmax(const Problem& p, double scale, const LogitTerms& terms,
                          const Inputs& inputs, TensorView output, Workspace& workspace,
                          Executor& executor) {
  const std::int64_t matrices = heads_in_flight(p, executor.threads());
  std::vector<float*> scores;
  for (std::int64_t m = 0; m < matrices; ++m) {
    scores.push_back(workspace.take(static_cast<std::size_t>(p.seq_q * p.seq_k)));
  }
  const auto modifier = make_score_modifier(p);
  const RowCall call{
      p, static_cast<float>(scale * std::numbers::log2e), terms, inputs, output, modifier.get()};
  const std::int64_t blocks = (p.seq_q + kScoreRows - 1) / kScoreRows;
  const std::int64_t heads = p.batch * p.heads_q;
  share_heads<1>(heads, {blocks}, executor, [&](const HeadPiece& piece, int) {
    const std::int64_t begin = piece.index * kScoreRows;
    const std::int64_t matrix = matrices == heads ? piece.head : piece.owner;
    run_rows(call, scores[static_cast<std::size_t>(matrix)],
             {piece.head / p.heads_q, piece.head % p.heads_q, begin,
              std::min(begin + kScoreRows, p.seq_q)});
  });
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
