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

/// Where the table of Gaussians has the tile's first lane, against a key at position 0.
std::int64_t gaussian_index(const Problem& p, const LaneTile& tile) {
  return tile.queries.query[0] * p.group() + tile.queries.head[0] - tile.kv_head * p.group();
}

/// Keys whose weights take about as long as a register tile of a product.
constexpr std::ptrdiff_t kKeysPerStep = 8;

/// Steps that what is upcoming is asked for in: register tiles of both products, and some keys of
/// the softmax between them.
std::int64_t upcoming_steps(const MonotonicTile& job) {
  job.runs.clear();
  job.pattern.runs(job.tile.queries, job.runs);
  std::int64_t keys = 0;
  for (const KeyRun& run : job.runs) keys += run.end - run.begin;
  const std::int64_t blocks = (keys + kKeyBlock - 1) / kKeyBlock;
  return keys / kGemmRows + keys / kKeysPerStep + blocks * job.problem.dim_v / kGemmRows;
}

void monotonic_target(const MonotonicTile& job) {
  const Problem& p = job.problem;
  const int lanes = job.tile.queries.lanes;
  const OnlineTile t = start_tile(job.scratch, p.dim_v, lanes);
  float* packed = t.factor + kLaneStride;
  pack_transposed(job.tile.q_rows, lanes, t.columns, p.dim_qk,
                  static_cast<float>(std::numbers::log2e), packed, kLaneStride);
  const TileTerms terms(job.shaping, job.tile.queries);
  terms.start(t);
  if (job.upcoming != nullptr) job.upcoming->spread_over(upcoming_steps(job));
  const auto score = [&](std::int64_t begin, std::ptrdiff_t keys) {
    gemm<ALayout::row_major>(keys, t.columns, p.dim_qk, job.k + begin * job.k_stride, job.k_stride,
                             packed, kLaneStride, t.scores, kLaneStride, Old::overwrite, nullptr,
                             job.upcoming);
    terms.shape(begin, keys, t.columns, t.scores);
    count_ops(keys * lanes * (p.dim_qk + p.dim_v), keys * lanes + lanes);
  };
  const std::int64_t first = gaussian_index(p, job.tile);
  const auto weigh = [&](std::int64_t begin) {
    const float* table = job.gaussian.at(first - (begin - p.diagonal()) * p.group());
    return [&job, table, step = p.group()](auto d, std::ptrdiff_t j, std::ptrdiff_t column,
                                           auto weight) {
      if (column == 0 && j % kKeysPerStep == 0 && job.upcoming != nullptr) job.upcoming->step();
      return hn::Mul(weight, hn::LoadU(d, table + column - j * step));
    };
  };
  online_softmax(job.tile.queries, job.pattern, job.runs, {job.v, job.v_stride, p.dim_v}, t, score,
                 weigh, job.upcoming);
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
