#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scored_softmax_window.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/gaussian-inl.h"
#include "kernels/op_count.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_terms-inl.h"
#include "kernels/scored_softmax_window.h"
#include "kernels/scored_softmax_windows.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

void monotonic_target(const MonotonicTile& job) {
  const Problem& p = job.problem;
  const int lanes = job.tile.queries.lanes;
  const OnlineTile t = start_tile(job.scratch, p.dim_v, lanes);
  float* packed = t.factor + kLaneStride;
  pack_transposed(job.tile.q_rows, lanes, t.columns, p.dim_qk,
                  static_cast<float>(std::numbers::log2e), packed, kLaneStride);
  const TileTerms terms(job.shaping, job.tile.queries);
  terms.start(t);
  // All of it goes into the first block: a window of this width is seldom more.
  if (job.upcoming != nullptr) job.upcoming->spread_over(kTileQueries / 2);
  const auto score = [&](std::int64_t begin, std::ptrdiff_t keys) {
    gemm<ALayout::row_major>(keys, t.columns, p.dim_qk, job.k + begin * job.k_stride, job.k_stride,
                             packed, kLaneStride, t.scores, kLaneStride, Old::overwrite, nullptr,
                             job.upcoming);
    terms.shape(begin, keys, t.columns, t.scores);
    count_ops(keys * lanes * (p.dim_qk + p.dim_v), 2 * keys * lanes + lanes);
  };
  const auto weigh = [&](std::int64_t begin, std::ptrdiff_t keys) {
    const hn::ScalableTag<float> d;
    const auto vector = static_cast<std::ptrdiff_t>(hn::Lanes(d));
    const auto factor = hn::Set(d, gaussian_factor(job.window));
    alignas(64) float position[kTileQueries] = {};
    for (int lane = 0; lane < lanes; ++lane) {
      position[lane] = static_cast<float>(job.tile.queries.position[lane] + p.diagonal() - begin);
    }
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      if (job.upcoming != nullptr) job.upcoming->step();
      for (std::ptrdiff_t at = 0; at < t.columns; at += vector) {
        float* to = t.scores + j * kLaneStride + at;
        const auto distance =
            hn::Sub(hn::Set(d, static_cast<float>(j)), hn::Load(d, position + at));
        hn::Store(hn::Mul(hn::Load(d, to), gaussian(d, distance, factor)), d, to);
      }
    }
  };
  online_softmax(job.tile.queries, job.pattern, job.runs, {job.v, job.v_stride, p.dim_v}, t, score,
                 weigh);
  finish_tile(t, job.tile, p.dim_v);
}

}  // namespace

void monotonic_entry(const MonotonicTile& job) { monotonic_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(monotonic_entry);
}  // namespace

void run_monotonic_tile(const MonotonicTile& job) { HWY_DYNAMIC_DISPATCH(monotonic_entry)(job); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
