#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/narrow_tile.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <numbers>
#include <span>

#include "kernels/exp-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct NarrowBuffers {
  float* q;       // [lanes][D padded to 16], scaled by scale * log2(e)
  float* scores;  // [lanes][score_stride]
  float* acc;     // [lanes][Dv padded to 16]
  std::ptrdiff_t q_stride;
  std::ptrdiff_t score_stride;  // A row is written up to 15 floats beyond its last score.
  std::ptrdiff_t acc_stride;
  float maximum[kNarrowLanes];
  float sum[kNarrowLanes];
};

// Register tiles: keys x lanes for scores, lanes x 4 vectors for values, in 32 registers or 16.
constexpr int kScoreLanes = 4;
#if HWY_TARGET <= HWY_AVX3
constexpr int kScoreKeys = 4;
constexpr int kValueLanes = 4;
#else
constexpr int kScoreKeys = 2;
constexpr int kValueLanes = 2;
#endif
constexpr int kValueVectors = 4;
// So few lanes take a row of twice as many at once: each pass over a part of the rows is a stream
// that begins anew with every row.
#if HWY_TARGET <= HWY_AVX3
constexpr int kWideLanes = 2;
#else
constexpr int kWideLanes = 1;
#endif

/// to[i] = the sum of x[i], for four vectors: with a quarter of the shuffles of four separate sums.
template <class D>
HWY_INLINE void store_four_sums([[maybe_unused]] D d, const hn::Vec<D>* x, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) to[i] = hn::GetLane(x[i]);
#else
  if constexpr (hn::MaxLanes(d) > 4) {
    const hn::Half<D> half;
    hn::Vec<hn::Half<D> > y[4];
    for (int i = 0; i < 4; ++i) {
      y[i] = hn::Add(hn::LowerHalf(half, x[i]), hn::UpperHalf(half, x[i]));
    }
    store_four_sums(half, y, to);
  } else {
    const hn::RepartitionToWide<D> d2;
    const auto ab = hn::Add(hn::InterleaveLower(d, x[0], x[1]), hn::InterleaveUpper(d, x[0], x[1]));
    const auto cd = hn::Add(hn::InterleaveLower(d, x[2], x[3]), hn::InterleaveUpper(d, x[2], x[3]));
    const auto low = hn::InterleaveLower(d2, hn::BitCast(d2, ab), hn::BitCast(d2, cd));
    const auto high = hn::InterleaveUpper(d2, hn::BitCast(d2, ab), hn::BitCast(d2, cd));
    hn::StoreU(hn::Add(hn::BitCast(d, low), hn::BitCast(d, high)), d, to);
  }
#endif
}

/// Rows of keys or values of one block.
struct NarrowRows {
  const float* data;
  std::ptrdiff_t stride;
  std::ptrdiff_t keys;
  std::ptrdiff_t dim;
  std::ptrdiff_t column;  // Of its first key in the group's scores.
};

/// scores[lane][j] = q[lane] . k[j] for lanes [first, first + L), a few keys at a time.
template <int L>
HWY_INLINE void narrow_score_lanes(const NarrowRows& k, int first, const NarrowBuffers& b,
                                   const RowsAhead& ahead) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  // A query or two have little to do for each key: rows arrive fastest when they are read one after
  // the other, as they lie. Later lanes find them in the nearest cache.
  constexpr bool kRowByRow = L <= 2;
  constexpr int kKeys = kRowByRow ? 4 : kScoreKeys;
  constexpr int kSums = (L * kKeys + 3) / 4 * 4;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t dim = k.dim, whole = dim / lanes * lanes;
  const auto tail = hn::FirstN(d, static_cast<std::size_t>(dim - whole));
  const float* queries = b.q + first * b.q_stride;
  for (std::ptrdiff_t j = 0; j < k.keys; j += kKeys) {
    ahead.fetch(j, j + kKeys);
    // Beyond the last key it is taken again; what comes of it is overwritten.
    const float* rows[kKeys];
#pragma GCC unroll 4
    for (int i = 0; i < kKeys; ++i) rows[i] = k.data + std::min(j + i, k.keys - 1) * k.stride;
    Vec acc[kSums];  // By lane, then key.
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) acc[i] = hn::Zero(d);
    if constexpr (kRowByRow) {
#pragma GCC unroll 4
      for (int i = 0; i < kKeys; ++i) {
        for (std::ptrdiff_t at = 0; at < dim; at += lanes) {
          const Vec x =
              at < whole ? hn::LoadU(d, rows[i] + at) : hn::MaskedLoad(tail, d, rows[i] + at);
#pragma GCC unroll 2
          for (int lane = 0; lane < L; ++lane) {
            acc[lane * kKeys + i] =
                hn::MulAdd(hn::Load(d, queries + lane * b.q_stride + at), x, acc[lane * kKeys + i]);
          }
        }
      }
    } else {
      for (std::ptrdiff_t at = 0; at < dim; at += lanes) {
        Vec x[kKeys];
#pragma GCC unroll 4
        for (int i = 0; i < kKeys; ++i) {
          x[i] = at < whole ? hn::LoadU(d, rows[i] + at) : hn::MaskedLoad(tail, d, rows[i] + at);
        }
#pragma GCC unroll 4
        for (int lane = 0; lane < L; ++lane) {
          const Vec q = hn::Load(d, queries + lane * b.q_stride + at);
#pragma GCC unroll 4
          for (int i = 0; i < kKeys; ++i) {
            acc[lane * kKeys + i] = hn::MulAdd(q, x[i], acc[lane * kKeys + i]);
          }
        }
      }
    }
    float* to = b.scores + first * b.score_stride + k.column + j;
    if constexpr (kKeys == 4) {
#pragma GCC unroll 4
      for (int lane = 0; lane < L; ++lane) {
        store_four_sums(d, acc + 4 * lane, to + lane * b.score_stride);
      }
    } else {
      float sums[kSums];
#pragma GCC unroll 4
      for (int i = 0; i < kSums; i += 4) store_four_sums(d, acc + i, sums + i);
      for (int lane = 0; lane < L; ++lane) {
        std::copy_n(sums + lane * kKeys, kKeys, to + lane * b.score_stride);
      }
    }
  }
}

/// scores[lane][j] = q[lane] . k[j] for a block of keys: the keys come from memory for the first
/// lanes, and from the nearest cache for the others.
template <int L>
HWY_INLINE void narrow_scores(const NarrowRows& k, const NarrowBuffers& b, RowsAhead ahead) {
  int lane = 0;
  for (; lane + kScoreLanes <= L; lane += kScoreLanes) {
    narrow_score_lanes<kScoreLanes>(k, lane, b, ahead);
    ahead.count = 0;
  }
  if constexpr (L % kScoreLanes > 0) {
    narrow_score_lanes<L % kScoreLanes>(k, lane, b, ahead);
  }
}

/// Turns one lane's scores into weights; returns the factor for what was accumulated before.
HWY_INLINE float narrow_softmax(float* scores, std::ptrdiff_t keys, float& maximum, float& sum) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  // Padded to whole vectors with scores that weigh nothing.
  const std::ptrdiff_t padded = (keys + lanes - 1) / lanes * lanes;
  std::fill(scores + keys, scores + padded, kMinusInfinity);
  auto largest = hn::Set(d, maximum);
  for (std::ptrdiff_t j = 0; j < padded; j += lanes) {
    largest = hn::Max(largest, hn::Load(d, scores + j));
  }
  const float old = maximum;
  maximum = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float shift = maximum == kMinusInfinity ? 0 : maximum;
  auto total = hn::Zero(d);
  for (std::ptrdiff_t j = 0; j < padded; j += lanes) {
    const auto p = exp2_nonpositive(d, hn::Sub(hn::Load(d, scores + j), hn::Set(d, shift)));
    hn::Store(p, d, scores + j);
    total = hn::Add(total, p);
  }
  const float factor = hn::GetLane(exp2_nonpositive(d1, hn::Set(d1, old - shift)));
  sum = sum * factor + hn::GetLane(hn::SumOfLanes(d, total));
  return factor;
}

/// acc[lane][at, at + V vectors) = acc * factor + sum over j of weight[lane][j] v[j], for lanes
/// [first, first + L).
template <int L, int V>
HWY_INLINE void narrow_value_lanes(const NarrowRows& v, std::ptrdiff_t at, int first,
                                   const float* factor, const NarrowBuffers& b,
                                   const RowsAhead& ahead) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  Vec acc[L][V];
  float* to = b.acc + first * b.acc_stride + at;
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      acc[lane][i] = hn::Mul(hn::Set(d, factor[first + lane]),
                             hn::Load(d, to + lane * b.acc_stride + i * lanes));
    }
  }
  // Only the last vector of a row can be partial, and it comes here alone (V = 1).
  const bool partial = at + V * lanes > v.dim;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(partial ? v.dim - at : lanes));
  const float* weights = b.scores + first * b.score_stride + v.column;
  for (std::ptrdiff_t j = 0; j < v.keys; ++j) {
    ahead.fetch(j, j + 1);
    const float* row = v.data + j * v.stride + at;
    Vec x[V];
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      x[i] = V == 1 && partial ? hn::MaskedLoad(mask, d, row) : hn::LoadU(d, row + i * lanes);
    }
#pragma GCC unroll 4
    for (int lane = 0; lane < L; ++lane) {
      const Vec weight = hn::Set(d, weights[lane * b.score_stride + j]);
#pragma GCC unroll 8
      for (int i = 0; i < V; ++i) acc[lane][i] = hn::MulAdd(weight, x[i], acc[lane][i]);
    }
  }
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      hn::Store(acc[lane][i], d, to + lane * b.acc_stride + i * lanes);
    }
  }
}

/// The weighted values of a block for lanes [first, first + L).
template <int L>
HWY_INLINE void narrow_value_rows(const NarrowRows& v, int first, const float* factor,
                                  const NarrowBuffers& b, RowsAhead ahead) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  if constexpr (L <= kWideLanes) {
    constexpr int kWide = 2 * kValueVectors;
    for (; at + kWide * lanes <= v.dim; at += kWide * lanes) {
      narrow_value_lanes<L, kWide>(v, at, first, factor, b, ahead);
      ahead.count = 0;
    }
  }
  for (; at + kValueVectors * lanes <= v.dim; at += kValueVectors * lanes) {
    narrow_value_lanes<L, kValueVectors>(v, at, first, factor, b, ahead);
    ahead.count = 0;
  }
  for (; at < v.dim; at += lanes) {
    narrow_value_lanes<L, 1>(v, at, first, factor, b, ahead);
    ahead.count = 0;
  }
}

/// The weighted values of a block.
template <int L>
HWY_INLINE void narrow_values(const NarrowRows& v, const float* factor, const NarrowBuffers& b,
                              RowsAhead ahead) {
  int lane = 0;
  for (; lane + kValueLanes <= L; lane += kValueLanes) {
    narrow_value_rows<kValueLanes>(v, lane, factor, b, ahead);
    ahead.count = 0;
  }
  if constexpr (L % kValueLanes > 0) {
    narrow_value_rows<L % kValueLanes>(v, lane, factor, b, ahead);
  }
}

/// Soft cap and bias of one block of scores, scores[lane * stride + key].
template <int L>
void shape_narrow_block(const TileJob& job, const LaneTerms& lanes, const KeyBlock& block,
                        float* scores, std::ptrdiff_t stride) {
  float positions[kKeyBlock];
  if (!job.terms->slopes.empty()) key_positions(job, block, positions);
  for (int lane = 0; lane < L; ++lane) {
    shape_lane_row(*job.terms, lanes.slopes[lane], lanes.positions[lane], positions,
                   block.end - block.begin, scores + lane * stride);
  }
}

/// The state of a row that has seen nothing, or the sink alone.
SoftmaxState start_state(const TileJob& job, int lane) {
  if (job.terms == nullptr || job.terms->sink.empty() || !job.starts_rows) {
    return {kMinusInfinity, 0};
  }
  const float sink = job.terms->sink[static_cast<std::size_t>(job.queries.head[lane])];
  // A sink of -infinity is none.
  return {sink, sink > kMinusInfinity ? 1.0F : 0.0F};
}

/// What the products of one block, scores[lane * stride + key], become before the softmax.
template <int L>
void shape_and_mask(const TileJob& job, const KeyBlock& block, float* scores,
                    std::ptrdiff_t stride) {
  if (job.terms != nullptr && job.terms->shape_logits()) {
    shape_narrow_block<L>(job, LaneTerms(*job.terms, job.queries), block, scores, stride);
  }
  if (job.modifier != nullptr) {
    for (int lane = 0; lane < L; ++lane) {
      modify_lane(job, block, lane, scores + lane * stride);
    }
  }
  if (!block.masked) return;
  std::uint64_t mask[kKeyBlock];
  block_mask(*job.pattern, job.queries, *job.runs, block, mask);
  for (int lane = 0; lane < L; ++lane) {
    for (std::ptrdiff_t j = 0; j < block.end - block.begin; ++j) {
      if ((mask[j] >> lane & 1) == 0) scores[lane * stride + j] = kMinusInfinity;
    }
  }
}

NarrowRows key_rows(const TileJob& job, const KeyBlock& block, std::ptrdiff_t column) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  return {source.k + block.begin * source.k_stride, source.k_stride, block.end - block.begin,
          job.dim_qk, column};
}

NarrowRows value_rows(const TileJob& job, const KeyBlock& block, std::ptrdiff_t column) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  return {source.v + block.begin * source.v_stride, source.v_stride, block.end - block.begin,
          job.dim_v, column};
}

RowsAhead ahead_of(const NarrowRows& rows) { return {rows.data, rows.stride, rows.keys, rows.dim}; }

/// `next` is the block after these, or null.
template <int L>
void narrow_group(const TileJob& job, std::span<const KeyBlock> blocks, const KeyBlock* next,
                  NarrowBuffers& b) {
  // Few lanes do too little for each row: asking for more then only delays what is being read.
  constexpr bool kAsk = L > kScoreLanes;
  std::ptrdiff_t keys = 0;
  for (const KeyBlock& block : blocks) {
    const RowsAhead values = kAsk ? ahead_of(value_rows(job, block, 0)) : RowsAhead{};
    narrow_scores<L>(key_rows(job, block, keys), b, values);
    shape_and_mask<L>(job, block, b.scores + keys, b.score_stride);
    keys += block.end - block.begin;
  }
  float factor[L];
  for (int lane = 0; lane < L; ++lane) {
    factor[lane] =
        narrow_softmax(b.scores + lane * b.score_stride, keys, b.maximum[lane], b.sum[lane]);
  }
  count_ops(keys * L * (job.dim_qk + job.dim_v), keys * L + L);
  std::ptrdiff_t column = 0;
  for (const KeyBlock& block : blocks) {
    const bool asks = kAsk && next != nullptr && &block == &blocks.front();
    const RowsAhead ahead = asks ? ahead_of(key_rows(job, *next, 0)) : RowsAhead{};
    narrow_values<L>(value_rows(job, block, column), factor, b, ahead);
    std::fill_n(factor, L, 1.0F);
    column += block.end - block.begin;
  }
}

template <int L>
void narrow_tile(TileJob& job) {
  constexpr int kGroup = narrow_group_blocks(L);
  NarrowBuffers b{};
  b.q_stride = (job.dim_qk + 15) / 16 * 16;
  b.score_stride = kGroup * kKeyBlock + (kGroup > 1 ? 16 : 0);
  b.acc_stride = (job.dim_v + 15) / 16 * 16;
  b.q = job.scratch;
  b.scores = b.q + L * b.q_stride;
  b.acc = b.scores + L * b.score_stride;
  const auto scale = static_cast<float>(job.scale * std::numbers::log2e);
  for (int lane = 0; lane < L; ++lane) {
    float* q = b.q + lane * b.q_stride;
    for (std::int64_t i = 0; i < job.dim_qk; ++i) q[i] = scale * job.q_rows[lane][i];
    std::fill(q + job.dim_qk, q + b.q_stride, 0.0F);
    float* acc = b.acc + lane * b.acc_stride;
    std::fill_n(acc, b.acc_stride, 0.0F);
    if (job.resume) std::copy_n(job.out_rows[lane], job.dim_v, acc);
    const SoftmaxState state = job.resume ? *job.states[lane] : start_state(job, lane);
    b.maximum[lane] = state.maximum;
    b.sum[lane] = state.sum;
  }
  list_runs(job);
  BlockCursor blocks(*job.runs);
  KeyBlock group[kGroup], next;
  for (bool more = blocks.next(next); more;) {
    int count = 0;
    while (more && count < kGroup) {
      group[count++] = next;
      more = blocks.next(next);
    }
    narrow_group<L>(job, {group, static_cast<std::size_t>(count)}, more ? &next : nullptr, b);
  }
  for (int lane = 0; lane < L; ++lane) {
    float factor = 1;
    if (job.finish) {
      factor = b.sum[lane] > 0 ? 1 / b.sum[lane] : 0;
    } else {
      *job.states[lane] = {b.maximum[lane], b.sum[lane]};
    }
    for (std::int64_t i = 0; i < job.dim_v; ++i) {
      job.out_rows[lane][i] = factor * b.acc[lane * b.acc_stride + i];
    }
  }
}

}  // namespace

void run_narrow_entry(TileJob& job) {
  switch (job.queries.lanes) {
    case 1:
      return narrow_tile<1>(job);
    case 2:
      return narrow_tile<2>(job);
    case 3:
      return narrow_tile<3>(job);
    case 4:
      return narrow_tile<4>(job);
    case 5:
      return narrow_tile<5>(job);
    case 6:
      return narrow_tile<6>(job);
    case 7:
      return narrow_tile<7>(job);
    default:
      return narrow_tile<8>(job);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(run_narrow_entry);
}

void run_narrow_tile(TileJob& job) { HWY_DYNAMIC_DISPATCH(run_narrow_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
