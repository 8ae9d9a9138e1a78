#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tiled_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/masked_pattern.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"
#include "kernels/split_keys.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr std::ptrdiff_t kLanes = kTileQueries;  // Row stride of every tile buffer.

/// A tile's buffers: columns are query lanes.
struct TileBuffers {
  float* q;                // [D][64], scaled by scale * log2(e)
  float* scores;           // [kKeyBlock][64]
  float* acc;              // [Dv][64]
  float* maximum;          // [64]
  float* sum;              // [64]
  float* factor;           // [64]
  std::ptrdiff_t columns;  // Lanes rounded up to whole vectors.
};

/// What the logits of a tile's lanes depend on beside the keys; only with terms that change them.
struct alignas(64) LaneTerms {
  float slopes[kTileQueries] = {};
  float positions[kTileQueries] = {};

  explicit LaneTerms(const TileJob& job) {
    const LogitTerms& terms = *job.terms;
    for (int lane = 0; lane < job.queries.lanes && !terms.slopes.empty(); ++lane) {
      const LaneQuery at = job.lane_queries[lane];
      slopes[lane] = terms.slopes[static_cast<std::size_t>(at.head)];
      positions[lane] = static_cast<float>(at.query + terms.diagonal);
    }
  }
};

TileBuffers lay_out(const TileJob& job) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  TileBuffers t{};
  t.q = job.scratch;
  t.scores = t.q + job.dim_qk * kLanes;
  t.acc = t.scores + kKeyBlock * kLanes;
  t.maximum = t.acc + job.dim_v * kLanes;
  t.sum = t.maximum + kLanes;
  t.factor = t.sum + kLanes;
  t.columns = (job.queries.lanes + lanes - 1) / lanes * lanes;
  return t;
}

/// Turns V columns of vectors of scores into weights, in place, and updates maximum, sum and the
/// factor by which what was accumulated before is to shrink.
template <int V, bool masked>
HWY_INLINE void softmax_columns(float* scores, std::ptrdiff_t keys, const std::uint64_t* mask,
                                std::ptrdiff_t column, const TileBuffers& t) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const Vec none = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec maximum[V], sum[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) maximum[v] = hn::Load(d, t.maximum + column + v * lanes);
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    float* row = scores + j * kLanes + column;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec s = hn::Load(d, row + v * lanes);
      if constexpr (masked) {
        const std::uint64_t bits = mask[j] >> (column + v * lanes);
        s = hn::IfThenElse(hn::LoadMaskBits(d, reinterpret_cast<const std::uint8_t*>(&bits)), s,
                           none);
        hn::Store(s, d, row + v * lanes);
      }
      maximum[v] = hn::Max(maximum[v], s);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t at = column + v * lanes;
    const Vec old = hn::Load(d, t.maximum + at);
    hn::Store(maximum[v], d, t.maximum + at);
    // A lane that has seen no key yet: (-inf) - (-inf) must not be formed.
    if constexpr (masked) {
      maximum[v] = hn::IfThenZeroElse(hn::Eq(maximum[v], none), maximum[v]);
    }
    const Vec factor = exp2_nonpositive(d, hn::Sub(old, maximum[v]));
    hn::Store(factor, d, t.factor + at);
    sum[v] = hn::Mul(factor, hn::Load(d, t.sum + at));
  }
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    float* row = scores + j * kLanes + column;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec p = exp2_nonpositive(d, hn::Sub(hn::Load(d, row + v * lanes), maximum[v]));
      hn::Store(p, d, row + v * lanes);
      sum[v] = hn::Add(sum[v], p);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) hn::Store(sum[v], d, t.sum + column + v * lanes);
}

template <bool masked>
void softmax_block(float* scores, std::ptrdiff_t keys, const std::uint64_t* mask,
                   const TileBuffers& t) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t column = 0;
  for (; column + 2 * lanes <= t.columns; column += 2 * lanes) {
    softmax_columns<2, masked>(scores, keys, mask, column, t);
  }
  for (; column < t.columns; column += lanes) {
    softmax_columns<1, masked>(scores, keys, mask, column, t);
  }
}

/// Soft cap and bias of one block of scores.
void shape_block(const TileJob& job, const TileBuffers& t, const LaneTerms& lanes,
                 const KeyBlock& block) {
  const LogitTerms& terms = *job.terms;
  const std::ptrdiff_t keys = block.end - block.begin;
  float positions[kKeyBlock];
  if (terms.slopes.empty()) {
    shape_lanes<true, false>(t.scores, kLanes, keys, t.columns, terms.softcap, positions,
                             lanes.slopes, lanes.positions);
  } else {
    const KeyPositions& from = job.sources[static_cast<std::size_t>(block.source)].positions;
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      positions[j] = static_cast<float>(from.at(block.begin + j));
    }
    const auto shape = terms.softcap > 0 ? shape_lanes<true, true> : shape_lanes<false, true>;
    shape(t.scores, kLanes, keys, t.columns, terms.softcap, positions, lanes.slopes,
          lanes.positions);
  }
  if (terms.softcap > 0) count_ops(0, keys * job.queries.lanes);
}

/// Scores, softmax and weighted values of one block.
void key_block(const TileJob& job, const TileBuffers& t, const LaneTerms* lanes,
               const KeyBlock& block, bool first) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  const std::int64_t begin = block.begin;
  const std::ptrdiff_t keys = block.end - begin;
  gemm<ALayout::row_major>(keys, t.columns, job.dim_qk, source.k + begin * source.k_stride,
                           source.k_stride, t.q, kLanes, t.scores, kLanes, Old::overwrite);
  if (lanes != nullptr) shape_block(job, t, *lanes, block);
  if (job.modifier != nullptr) modify_block(job, block, t.scores);
  if (block.masked) {
    std::uint64_t mask[kKeyBlock];
    block_mask(*job.pattern, job.queries, *job.runs, block, mask);
    softmax_block<true>(t.scores, keys, mask, t);
  } else {
    softmax_block<false>(t.scores, keys, nullptr, t);
  }
  gemm<ALayout::col_major>(job.dim_v, t.columns, keys, source.v + begin * source.v_stride,
                           source.v_stride, t.scores, kLanes, t.acc, kLanes,
                           first ? Old::overwrite : Old::rescale, t.factor);
  count_ops(keys * job.queries.lanes * (job.dim_qk + job.dim_v),
            keys * job.queries.lanes + job.queries.lanes);
}

/// The state of rows that have seen nothing, or the sink alone.
void start_state(const TileJob& job, const TileBuffers& t) {
  std::fill_n(t.maximum, kLanes, -std::numeric_limits<float>::infinity());
  std::fill_n(t.sum, kLanes, 0.0F);
  if (job.terms == nullptr || job.terms->sink.empty() || !job.starts_rows) return;
  for (int lane = 0; lane < job.queries.lanes; ++lane) {
    t.maximum[lane] = job.terms->sink[static_cast<std::size_t>(job.lane_queries[lane].head)];
    // A sink of -infinity is none.
    if (t.maximum[lane] > -std::numeric_limits<float>::infinity()) t.sum[lane] = 1;
  }
}

void load_state(const TileJob& job, const TileBuffers& t) {
  const int lanes = job.queries.lanes;
  for (int lane = 0; lane < lanes; ++lane) {
    t.maximum[lane] = job.states[lane]->maximum;
    t.sum[lane] = job.states[lane]->sum;
  }
  pack_transposed(job.out_rows, lanes, t.columns, job.dim_v, 1.0F, t.acc, kLanes);
}

void store_result(const TileJob& job, const TileBuffers& t) {
  const int lanes = job.queries.lanes;
  for (int lane = 0; lane < lanes; ++lane) {
    if (!job.finish) {
      *job.states[lane] = {t.maximum[lane], t.sum[lane]};
      t.factor[lane] = 1;
    } else {
      t.factor[lane] = t.sum[lane] > 0 ? 1 / t.sum[lane] : 0;
    }
  }
  unpack_transposed(t.acc, kLanes, t.factor, lanes, job.dim_v, job.out_rows);
}

void run_tile_target(TileJob& job) {
  const TileBuffers t = lay_out(job);
  const int lanes = job.queries.lanes;
  pack_transposed(job.q_rows, lanes, t.columns, job.dim_qk,
                  static_cast<float>(job.scale * std::numbers::log2e), t.q, kLanes);
  start_state(job, t);
  if (job.resume) load_state(job, t);
  std::optional<LaneTerms> lane_terms;
  if (job.terms != nullptr && job.terms->shape_logits()) lane_terms.emplace(job);
  const LaneTerms* shaped = lane_terms ? &*lane_terms : nullptr;
  job.runs->clear();
  job.pattern->runs(job.queries, *job.runs);
  bool first = !job.resume;
  BlockCursor blocks(*job.runs);
  for (KeyBlock block; blocks.next(block); first = false) {
    key_block(job, t, shaped, block, first);
  }
  if (first) std::fill_n(t.acc, job.dim_v * kLanes, 0.0F);
  store_result(job, t);
}

}  // namespace

void run_tile_entry(TileJob& job) { run_tile_target(job); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(run_tile_entry);
}

void run_tile(TileJob& job) {
  if (job.queries.lanes <= kNarrowLanes) return run_narrow_tile(job);
  HWY_DYNAMIC_DISPATCH(run_tile_entry)(job);
}

std::size_t tile_scratch_floats(std::int64_t dim_qk, std::int64_t dim_v) {
  return static_cast<std::size_t>((dim_qk + dim_v + kKeyBlock + 3) * kTileQueries);
}

namespace {

/// Floats of all parts' rows and states.
std::size_t part_row_floats(const Problem& p, std::int64_t parts) {
  return static_cast<std::size_t>(p.batch * p.heads_q * p.seq_q * parts * p.dim_v);
}
std::size_t part_state_floats(const Problem& p, std::int64_t parts) {
  return static_cast<std::size_t>(2 * p.batch * p.heads_q * p.seq_q * parts);
}

}  // namespace

std::size_t tiled_softmax_workspace_bytes(const Problem& problem, int threads) {
  std::size_t bytes = static_cast<std::size_t>(threads) *
                      workspace_take_bytes(tile_scratch_floats(problem.dim_qk, problem.dim_v));
  if (const std::int64_t parts = key_splits(problem, threads); parts > 1) {
    bytes += workspace_take_bytes(part_row_floats(problem, parts)) +
             workspace_take_bytes(part_state_floats(problem, parts));
  }
  return bytes;
}

std::int64_t tile_count(const Problem& problem, int width) {
  return (problem.seq_q * problem.group() + width - 1) / width;
}

void tile_lanes(const Problem& problem, int width, std::int64_t tile, std::int64_t batch,
                std::int64_t kv_head, TileQueries& queries) {
  const std::int64_t group = problem.group();
  const std::int64_t begin = tile * width;
  const std::int64_t end = std::min(begin + width, problem.seq_q * group);
  queries.batch = batch;
  queries.lanes = static_cast<int>(end - begin);
  for (std::int64_t f = begin; f < end; ++f) {
    queries.position[f - begin] = queries.query[f - begin] = f / group;
    queries.head[f - begin] = kv_head * group + f % group;
  }
}

namespace {

/// A call with what its problem adds to it.
struct TiledCall {
  explicit TiledCall(const TiledSoftmaxCall& from)
      : call(from),
        pattern(from.problem, from.pattern),
        modifier(make_score_modifier(from.problem)) {}
  const TiledSoftmaxCall& call;
  ProblemPattern pattern;
  std::unique_ptr<const ScoreModifier> modifier;
};

/// What the tasks of one call share.
struct TiledRun {
  TiledCall tiled;
  std::vector<float*> scratch;            // By slot.
  std::vector<std::vector<KeyRun>> runs;  // By slot.
};

/// A tile of one (batch row, key-value head) with its rows and sources filled in.
void fill_job(const TiledCall& tiled, int width, std::int64_t b, std::int64_t head,
              std::int64_t tile, SourceRows* sources, TileJob& job) {
  const TiledSoftmaxCall& call = tiled.call;
  const Problem& p = call.problem;
  tile_lanes(p, width, tile, b, head, job.queries);
  for (int lane = 0; lane < job.queries.lanes; ++lane) {
    const std::int64_t h = job.queries.head[lane], i = job.queries.query[lane];
    job.q_rows[lane] = call.q.row(b, h, i);
    job.out_rows[lane] = call.out.row(b, h, i);
    job.lane_queries[lane] = {h, i};
    if (call.states != nullptr) {
      job.states[lane] = call.states + (b * p.heads_q + h) * p.seq_q + i;
    }
  }
  job.finish = call.states == nullptr;
  job.terms = call.terms;
  for (std::size_t s = 0; s < call.sources.size(); ++s) {
    const KeySource& from = call.sources[s];
    sources[s] = {from.k.row(b, head, 0), from.k.stride[2], from.v.row(b, head, 0),
                  from.v.stride[2], from.positions};
  }
  job.sources = {sources, call.sources.size()};
  job.pattern = &*tiled.pattern;
  job.modifier = tiled.modifier.get();
  job.dim_qk = p.dim_qk;
  job.dim_v = p.dim_v;
  job.scale = call.scale;
}

/// One tile per head, its keys in `parts` shares.
void run_split(TiledRun& run, std::int64_t parts, float* rows, SoftmaxState* states,
               Executor& executor) {
  const Problem& p = run.tiled.call.problem;
  const std::int64_t lanes = p.seq_q * p.group();
  const auto row_at = [&](std::int64_t head, std::int64_t part, std::int64_t lane) {
    return (head * parts + part) * lanes + lane;
  };
  executor.parallel_for(p.batch * p.heads_kv * parts, [&](std::int64_t index, int slot) {
    const std::int64_t head = index / parts, part = index % parts;
    SourceRows sources[kMaxSources];
    TileJob job;
    fill_job(run.tiled, kTileQueries, head / p.heads_kv, head % p.heads_kv, 0, sources, job);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      job.out_rows[lane] = rows + row_at(head, part, lane) * p.dim_v;
      job.states[lane] = states + row_at(head, part, lane);
    }
    const KeyShare share(*run.tiled.pattern, part, parts);
    job.pattern = &share;
    job.finish = false;
    job.starts_rows = part == 0;
    job.scratch = run.scratch[static_cast<std::size_t>(slot)];
    job.runs = &run.runs[static_cast<std::size_t>(slot)];
    run_tile(job);
  });
  const TiledSoftmaxCall& call = run.tiled.call;
  executor.parallel_for(p.batch * p.heads_kv, [&](std::int64_t head, int) {
    const std::int64_t b = head / p.heads_kv;
    TileQueries queries;
    tile_lanes(p, kTileQueries, 0, b, head % p.heads_kv, queries);
    for (int lane = 0; lane < queries.lanes; ++lane) {
      const std::int64_t h = queries.head[lane], i = queries.query[lane];
      SoftmaxState* total =
          call.states == nullptr ? nullptr : call.states + (b * p.heads_q + h) * p.seq_q + i;
      merge_parts({rows + row_at(head, 0, lane) * p.dim_v, lanes * p.dim_v,
                   states + row_at(head, 0, lane), lanes, parts, p.dim_v, call.out.row(b, h, i),
                   total});
    }
  });
}

}  // namespace

void tiled_softmax(const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor) {
  const Problem& p = call.problem;
  TiledRun run{TiledCall(call), {}, {}};
  run.runs.resize(static_cast<std::size_t>(executor.threads()));
  for (int slot = 0; slot < executor.threads(); ++slot) {
    run.scratch.push_back(workspace.take(tile_scratch_floats(p.dim_qk, p.dim_v)));
  }
  if (const std::int64_t parts = key_splits(p, executor.threads()); parts > 1) {
    float* rows = workspace.take(part_row_floats(p, parts));
    auto* states = reinterpret_cast<SoftmaxState*>(workspace.take(part_state_floats(p, parts)));
    return run_split(run, parts, rows, states, executor);
  }
  const int width = call.pattern.tile_queries(p.group());
  const std::int64_t tiles = tile_count(p, width);
  // Head by head, so that threads share its keys and values in cache; within a head from the last
  // tile, which under a causal mask is the longest.
  executor.parallel_for(p.batch * p.heads_kv * tiles, [&](std::int64_t index, int slot) {
    SourceRows sources[kMaxSources];
    TileJob job;
    fill_job(run.tiled, width, index / tiles / p.heads_kv, index / tiles % p.heads_kv,
             tiles - 1 - index % tiles, sources, job);
    job.scratch = run.scratch[static_cast<std::size_t>(slot)];
    job.runs = &run.runs[static_cast<std::size_t>(slot)];
    run_tile(job);
  });
}

void tiled_softmax_head(const TiledSoftmaxCall& call, std::int64_t b, std::int64_t head,
                        float* scratch, std::vector<KeyRun>& runs) {
  const TiledCall tiled(call);
  const int width = call.pattern.tile_queries(call.problem.group());
  for (std::int64_t tile = 0; tile < tile_count(call.problem, width); ++tile) {
    SourceRows sources[kMaxSources];
    TileJob job;
    fill_job(tiled, width, b, head, tile, sources, job);
    job.scratch = scratch;
    job.runs = &runs;
    run_tile(job);
  }
}

TileWork tile_work(const TileQueries& queries, const KeyPattern& pattern,
                   std::vector<KeyRun>& runs) {
  TileWork work;
  runs.clear();
  pattern.runs(queries, runs);
  BlockCursor blocks(runs);
  for (KeyBlock block; blocks.next(block);) {
    const auto keys = static_cast<double>(block.end - block.begin);
    work.pairs += keys * queries.lanes;
    work.exps += (keys + 1) * queries.lanes;
  }
  return work;
}

TileWork tiled_softmax_work(const Problem& problem, const KeyPattern& base, int threads) {
  const ProblemPattern masked(problem, base);
  const KeyPattern& pattern = *masked;
  TileWork total;
  std::vector<KeyRun> runs;
  const std::int64_t parts = key_splits(problem, threads);
  const int width = parts > 1 ? kTileQueries : pattern.tile_queries(problem.group());
  for_each_distinct_head(problem, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t tile = 0; tile < tile_count(problem, width); ++tile) {
      TileQueries queries;
      tile_lanes(problem, width, tile, b, head, queries);
      for (std::int64_t part = 0; part < parts; ++part) {
        const TileWork work = tile_work(queries, KeyShare(pattern, part, parts), runs);
        total.pairs += work.pairs * heads;
        total.exps += work.exps * heads;
      }
    }
  });
  return total;
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
