#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/narrow_tile.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <numbers>
#include <span>

#include "kernels/logit_terms-inl.h"
#include "kernels/narrow_products-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

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
    narrow_values<L>(value_rows(job, block, column), job.far, factor, b, ahead);
    std::fill_n(factor, L, 1.0F);
    column += block.end - block.begin;
  }
}

template <int L>
void narrow_tile(TileJob& job) {
  constexpr int kGroup = narrow_group_blocks(L);
  NarrowBuffers b{};
  b.q_stride = (job.dim_qk + 15) / 16 * 16;
  b.acc_stride = (job.dim_v + 15) / 16 * 16;
  b.q = job.scratch;
  b.acc = b.q + L * b.q_stride;
  const bool materialised = job.matrix != nullptr;
  b.score_stride = materialised ? narrow_matrix_stride(job.matrix_keys)
                                : kGroup * kKeyBlock + (kGroup > 1 ? 16 : 0);
  b.scores = materialised ? job.matrix : b.acc + L * b.acc_stride;
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
  if (materialised) {
    const std::vector<KeyBlock> all = all_blocks(*job.runs);
    if (!all.empty()) narrow_group<L>(job, all, nullptr, b);
  } else {
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
