#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/narrow_tile.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <numbers>

#include "kernels/exp-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct NarrowBuffers {
  float* q;       // [lanes][D padded to 16], scaled by scale * log2(e)
  float* scores;  // [lanes][kKeyBlock]
  float* acc;     // [lanes][Dv padded to 16]
  std::ptrdiff_t q_stride;
  std::ptrdiff_t acc_stride;
  float maximum[kNarrowLanes];
  float sum[kNarrowLanes];
};

/// scores[lane][j] = q[lane] . k[j] for a block of keys, two keys at a time.
template <int L>
HWY_INLINE void narrow_scores(const float* k, std::ptrdiff_t k_stride, std::ptrdiff_t keys,
                              std::ptrdiff_t dim, const NarrowBuffers& b) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t whole = dim / lanes * lanes;
  const auto tail = hn::FirstN(d, static_cast<std::size_t>(dim - whole));
  for (std::ptrdiff_t j = 0; j < keys; j += 2) {
    const float* k0 = k + j * k_stride;
    const float* k1 = j + 1 < keys ? k0 + k_stride : k0;
    Vec acc0[L], acc1[L];
#pragma GCC unroll 4
    for (int lane = 0; lane < L; ++lane) acc0[lane] = acc1[lane] = hn::Zero(d);
    for (std::ptrdiff_t at = 0; at < dim; at += lanes) {
      const Vec x0 = at < whole ? hn::LoadU(d, k0 + at) : hn::MaskedLoad(tail, d, k0 + at);
      const Vec x1 = at < whole ? hn::LoadU(d, k1 + at) : hn::MaskedLoad(tail, d, k1 + at);
#pragma GCC unroll 4
      for (int lane = 0; lane < L; ++lane) {
        const Vec q = hn::Load(d, b.q + lane * b.q_stride + at);
        acc0[lane] = hn::MulAdd(q, x0, acc0[lane]);
        acc1[lane] = hn::MulAdd(q, x1, acc1[lane]);
      }
    }
#pragma GCC unroll 4
    for (int lane = 0; lane < L; ++lane) {
      float* row = b.scores + lane * kKeyBlock + j;
      row[0] = hn::GetLane(hn::SumOfLanes(d, acc0[lane]));
      if (j + 1 < keys) row[1] = hn::GetLane(hn::SumOfLanes(d, acc1[lane]));
    }
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

/// acc[lane][at, at + V vectors) = acc * factor + sum over j of weight[lane][j] v[j].
template <int L, int V>
HWY_INLINE void narrow_values(const float* v, std::ptrdiff_t v_stride, std::ptrdiff_t keys,
                              std::ptrdiff_t at, std::ptrdiff_t dim, const float* factor,
                              const NarrowBuffers& b) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  Vec acc[L][V];
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      acc[lane][i] = hn::Mul(hn::Set(d, factor[lane]),
                             hn::Load(d, b.acc + lane * b.acc_stride + at + i * lanes));
    }
  }
  // Only the last vector of a row can be partial, and it comes here alone (V = 1).
  const bool partial = at + V * lanes > dim;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(partial ? dim - at : lanes));
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    const float* row = v + j * v_stride + at;
    Vec x[V];
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      x[i] = V == 1 && partial ? hn::MaskedLoad(mask, d, row) : hn::LoadU(d, row + i * lanes);
    }
#pragma GCC unroll 4
    for (int lane = 0; lane < L; ++lane) {
      const Vec weight = hn::Set(d, b.scores[lane * kKeyBlock + j]);
#pragma GCC unroll 4
      for (int i = 0; i < V; ++i) acc[lane][i] = hn::MulAdd(weight, x[i], acc[lane][i]);
    }
  }
#pragma GCC unroll 4
  for (int lane = 0; lane < L; ++lane) {
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      hn::Store(acc[lane][i], d, b.acc + lane * b.acc_stride + at + i * lanes);
    }
  }
}

template <int L>
void narrow_block(const TileJob& job, const KeyBlock& block, NarrowBuffers& b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  const std::int64_t begin = block.begin;
  const std::ptrdiff_t keys = block.end - begin;
  narrow_scores<L>(source.k + begin * source.k_stride, source.k_stride, keys, job.dim_qk, b);
  if (block.masked) {
    std::uint64_t mask[kKeyBlock];
    block_mask(*job.pattern, job.queries, *job.runs, block, mask);
    for (int lane = 0; lane < L; ++lane) {
      for (std::ptrdiff_t j = 0; j < keys; ++j) {
        if ((mask[j] >> lane & 1) == 0) b.scores[lane * kKeyBlock + j] = kMinusInfinity;
      }
    }
  }
  float factor[L];
  for (int lane = 0; lane < L; ++lane) {
    factor[lane] = narrow_softmax(b.scores + lane * kKeyBlock, keys, b.maximum[lane], b.sum[lane]);
  }
  const float* v = source.v + begin * source.v_stride;
  std::ptrdiff_t at = 0;
  for (; at + 4 * lanes <= job.dim_v; at += 4 * lanes) {
    narrow_values<L, 4>(v, source.v_stride, keys, at, job.dim_v, factor, b);
  }
  for (; at < job.dim_v; at += lanes) {
    narrow_values<L, 1>(v, source.v_stride, keys, at, job.dim_v, factor, b);
  }
  count_ops(keys * L * (job.dim_qk + job.dim_v), keys * L + L);
}

template <int L>
void narrow_tile(TileJob& job) {
  NarrowBuffers b{};
  b.q_stride = (job.dim_qk + 15) / 16 * 16;
  b.acc_stride = (job.dim_v + 15) / 16 * 16;
  b.q = job.scratch;
  b.scores = b.q + L * b.q_stride;
  b.acc = b.scores + L * kKeyBlock;
  const auto scale = static_cast<float>(job.scale * std::numbers::log2e);
  for (int lane = 0; lane < L; ++lane) {
    float* q = b.q + lane * b.q_stride;
    for (std::int64_t i = 0; i < job.dim_qk; ++i) q[i] = scale * job.q_rows[lane][i];
    std::fill(q + job.dim_qk, q + b.q_stride, 0.0F);
    float* acc = b.acc + lane * b.acc_stride;
    std::fill_n(acc, b.acc_stride, 0.0F);
    if (job.resume) std::copy_n(job.out_rows[lane], job.dim_v, acc);
    b.maximum[lane] = job.resume ? job.states[lane]->maximum : kMinusInfinity;
    b.sum[lane] = job.resume ? job.states[lane]->sum : 0;
  }
  job.runs->clear();
  job.pattern->runs(job.queries, *job.runs);
  BlockCursor blocks(*job.runs);
  for (KeyBlock block; blocks.next(block);) narrow_block<L>(job, block, b);
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
    default:
      return narrow_tile<4>(job);
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
