// Whole calls of the tiled engine: its tiles, shares of keys, scratch, and what they execute.
#include <algorithm>
#include <memory>
#include <utility>

#include "kernels/key_ranges.h"
#include "kernels/masked_pattern.h"
#include "kernels/narrow_tile.h"
#include "kernels/per_thread.h"
#include "kernels/query_tiles.h"
#include "kernels/score_modifier.h"
#include "kernels/shared_heads.h"
#include "kernels/split_keys.h"
#include "kernels/tile_sequence.h"
#include "kernels/tile_strip.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

void key_positions(const TileJob& job, const KeyBlock& block, float* positions) {
  for (std::int64_t at = block.begin; at < block.end; ++at) {
    positions[at - block.begin] = static_cast<float>(job.pattern->key(block.source, at));
  }
}

void list_runs(TileJob& job) {
  if (std::exchange(job.runs_listed, true)) return;
  job.runs->clear();
  job.pattern->runs(job.queries, *job.runs);
}

std::size_t tile_state_floats(std::int64_t dim_qk, std::int64_t dim_v) {
  return static_cast<std::size_t>((dim_qk + dim_v + 3) * kTileQueries);
}

std::size_t tile_scratch_floats(std::int64_t dim_qk, std::int64_t dim_v) {
  return tile_state_floats(dim_qk, dim_v) + std::size_t{kMostBlockKeys} * kTileQueries;
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

std::size_t tiled_softmax_workspace_bytes(const Problem& problem, const KeyPattern& pattern,
                                          int threads) {
  std::size_t bytes =
      static_cast<std::size_t>(threads) *
      workspace_take_bytes(strip_scratch_floats(problem, most_strip_tiles(problem, pattern)));
  if (const std::int64_t parts = key_splits(problem, threads); parts > 1) {
    bytes += workspace_take_bytes(part_row_floats(problem, parts)) +
             workspace_take_bytes(part_state_floats(problem, parts));
  }
  return bytes;
}

std::int64_t tile_count(const Problem& problem) {
  return (problem.seq_q * problem.group() + kTileQueries - 1) / kTileQueries;
}

void tile_lanes(const Problem& problem, std::int64_t tile, std::int64_t batch, std::int64_t kv_head,
                TileQueries& queries) {
  const std::int64_t begin = tile * kTileQueries;
  const auto in_order = [](std::int64_t n) { return PlacedQuery{n, n}; };
  place_lanes(problem, {batch, kv_head}, begin, lanes_until(begin, problem.seq_q * problem.group()),
              in_order, queries);
}

/// A call with what its problem adds to it.
struct TiledCall {
  explicit TiledCall(const TiledSoftmaxCall& from)
      : call(from),
        pattern(from.problem, from.pattern),
        modifier(make_score_modifier(from.problem)),
        bytes(from.problem.batch * from.problem.heads_kv * head_bytes(from.problem)) {}
  const TiledSoftmaxCall& call;
  ProblemPattern pattern;
  std::unique_ptr<const ScoreModifier> modifier;
  std::int64_t bytes;  // Of queries, keys, values and output.
};

namespace {

/// What the tasks of one call share.
struct TiledRun {
  TiledCall tiled;
  std::vector<float*> scratch;  // By slot.
};

/// A tile of one (batch row, key-value head) with its rows and sources filled in.
void fill_job(const TiledCall& tiled, std::int64_t b, std::int64_t head, std::int64_t tile,
              TileJob& job, SourceRows* sources) {
  const TiledSoftmaxCall& call = tiled.call;
  const Problem& p = call.problem;
  tile_lanes(p, tile, b, head, job.queries);
  for (int lane = 0; lane < job.queries.lanes; ++lane) {
    const std::int64_t h = job.queries.head[lane], i = job.queries.query[lane];
    job.q_rows[lane] = call.q.row(b, h, i);
    job.out_rows[lane] = call.out.row(b, h, i);
    if (call.states != nullptr) {
      job.states[lane] = call.states + (b * p.heads_q + h) * p.seq_q + i;
    }
  }
  job.finish = call.states == nullptr;
  job.terms = call.terms;
  for (std::size_t s = 0; s < call.sources.size(); ++s) {
    const KeySource& from = call.sources[s];
    sources[s] = {from.k.row(b, head, 0), from.k.stride[2], from.v.row(b, head, 0),
                  from.v.stride[2]};
  }
  job.sources = {sources, call.sources.size()};
  job.pattern = &*tiled.pattern;
  job.modifier = tiled.modifier.get();
  job.dim_qk = p.dim_qk;
  job.dim_v = p.dim_v;
  job.scale = call.scale;
  job.far = tiled.bytes > kFarBytes;
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
    std::vector<KeyRun> runs;
    TileJob job;
    fill_job(run.tiled, head / p.heads_kv, head % p.heads_kv, 0, job, sources);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      job.out_rows[lane] = rows + row_at(head, part, lane) * p.dim_v;
      job.states[lane] = states + row_at(head, part, lane);
    }
    const KeyShare share(*run.tiled.pattern, part, parts);
    job.pattern = &share;
    job.finish = false;
    job.starts_rows = part == 0;
    job.scratch = run.scratch[static_cast<std::size_t>(slot)];
    job.runs = &runs;
    run_tile(job);
  });
  const TiledSoftmaxCall& call = run.tiled.call;
  executor.parallel_for(p.batch * p.heads_kv, [&](std::int64_t head, int) {
    const std::int64_t b = head / p.heads_kv;
    TileQueries queries;
    tile_lanes(p, 0, b, head % p.heads_kv, queries);
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

/// Strips of `tiles` tiles, head by head, so that threads share a head in the last-level cache;
/// under a causal mask from the last on, which are the longest.
void run_strips(const TiledRun& run, int tiles, Executor& executor) {
  const Problem& p = run.tiled.call.problem;
  const std::int64_t count = tile_count(p), strips = (count + tiles - 1) / tiles;
  const auto fill = [&](std::int64_t index, TileStrip& strip) {
    const std::int64_t head = index / strips, at = index % strips;
    const std::int64_t first = (p.causal ? strips - 1 - at : at) * tiles;
    strip.count = static_cast<int>(std::min<std::int64_t>(tiles, count - first));
    // The last first: it may have few lanes.
    for (int i = 0; i < strip.count; ++i) {
      fill_job(run.tiled, head / p.heads_kv, head % p.heads_kv, first + strip.count - 1 - i,
               strip.jobs[i], strip.sources);
    }
  };
  PerThread<StripSequence> sequences(executor.threads(), [&](int slot) {
    return StripSequence(run.scratch[static_cast<std::size_t>(slot)]);
  });
  const std::int64_t all = p.batch * p.heads_kv * strips;
  executor.parallel_for(all, [&](std::int64_t index, int slot) {
    const std::int64_t next = index + executor.threads();
    sequences[slot].run(index, next < all ? next : StripSequence::kNone, fill);
  });
}

}  // namespace

void tiled_softmax(const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor) {
  const Problem& p = call.problem;
  TiledRun run{TiledCall(call), {}};
  const std::size_t floats = strip_scratch_floats(p, most_strip_tiles(p, call.pattern));
  for (int slot = 0; slot < executor.threads(); ++slot) {
    run.scratch.push_back(workspace.take(floats));
  }
  if (const std::int64_t parts = key_splits(p, executor.threads()); parts > 1) {
    float* rows = workspace.take(part_row_floats(p, parts));
    auto* states = reinterpret_cast<SoftmaxState*>(workspace.take(part_state_floats(p, parts)));
    return run_split(run, parts, rows, states, executor);
  }
  if (const int tiles = strip_tiles(p, call.pattern, executor.threads()); tiles > 1) {
    return run_strips(run, tiles, executor);
  }
  PerThread<TileSequence> sequences(executor.threads(), [&](int slot) {
    return TileSequence(run.scratch[static_cast<std::size_t>(slot)]);
  });
  const HeadTiles tiles(call);
  const std::int64_t heads = p.batch * p.heads_kv, count = tiles.count(), all = heads * count;
  const bool windows = call.pattern.window_keys() != KeyPattern::kAllKeys;
  const bool far = run.tiled.bytes > (windows ? kNearBytes : kNearBytesOfAllKeys);
  if (windows_stay_near(p, call.pattern)) {
    // Neighbouring tiles on one thread: each reads what the last one has brought, and some more.
    share_heads<1>(heads, {count}, executor, [&](const HeadPiece& piece, int slot) {
      tiles.run(piece, far, sequences[slot]);
    });
    return;
  }
  // Head by head, so that threads share its keys and values in the last-level cache.
  executor.parallel_for(all, [&](std::int64_t index, int slot) {
    HeadPiece piece{index / count, 0, index % count, std::nullopt, slot};
    if (const std::int64_t next = index + executor.threads(); next < all) {
      piece.next = PieceIndex{next / count, next % count};
    }
    tiles.run(piece, far, sequences[slot]);
  });
}

HeadTiles::HeadTiles(const TiledSoftmaxCall& call)
    : tiled_(std::make_unique<TiledCall>(call)),
      count_(tile_count(call.problem)),
      reads_all_(call.pattern.window_keys() == KeyPattern::kAllKeys),
      longest_last_(reads_all_ && call.problem.causal) {}

HeadTiles::~HeadTiles() = default;

void HeadTiles::run(const HeadPiece& piece, bool look_ahead, TileSequence& sequence) const {
  const std::int64_t heads_kv = tiled_->call.problem.heads_kv;
  const auto fill = [&](std::int64_t index, TileJob& job, SourceRows* sources) {
    const std::int64_t head = index / count_, at = index % count_;
    fill_job(*tiled_, head / heads_kv, head % heads_kv, longest_last_ ? count_ - 1 - at : at, job,
             sources);
    job.first_of_head = reads_all_ && look_ahead && at == 0;
  };
  const std::int64_t next = look_ahead && piece.next ? piece.next->head * count_ + piece.next->index
                                                     : TileSequence::kNone;
  sequence.run(piece.head * count_ + piece.index, next, fill);
}

namespace {

/// Work of a tile that is read in quads; its runs are listed.
TileWork quad_tile_work(const TileQueries& queries, const KeyPattern& pattern,
                        const std::vector<KeyRun>& runs) {
  std::uint64_t mask[kMostBlockKeys];
  KeyBlock block;
  BlockCursor(runs, kMostBlockKeys).next(block);
  const BlockRanges ranges = block_ranges(pattern, queries, runs, block, mask, TileParts::quads);
  const BlockPairs pairs = block_pairs(ranges, queries.lanes, true);
  return {static_cast<double>(pairs.scores), static_cast<double>(pairs.values),
          static_cast<double>(pairs.exps)};
}

}  // namespace

TileWork tile_work(const TileQueries& queries, const KeyPattern& pattern, std::vector<KeyRun>& runs,
                   std::int64_t dim_v, bool resume) {
  TileWork work;
  if (queries.lanes > kNarrowLanes) {
    work = wide_tile_work(queries, pattern, runs, dim_v);
    // It joins its rows with what they held, by two exponentials each; four lanes at a time by one,
    // which is counted whether they held anything or not.
    if (resume && !reads_in_quads(pattern, runs)) work.exps += 2.0 * queries.lanes;
    return work;
  }
  runs.clear();
  pattern.runs(queries, runs);
  const BlockCount all = BlockCursor::count(runs);
  // What was accumulated is rescaled, by one exponential a query, in every step.
  const int blocks = narrow_group_blocks(queries.lanes);
  const std::int64_t steps = (all.blocks + blocks - 1) / blocks;
  work.pairs = work.value_pairs = static_cast<double>(all.keys * queries.lanes);
  work.exps = static_cast<double>((all.keys + steps) * queries.lanes);
  return work;
}

TileWork wide_tile_work(const TileQueries& queries, const KeyPattern& pattern,
                        std::vector<KeyRun>& runs, std::int64_t dim_v) {
  TileWork work;
  runs.clear();
  pattern.runs(queries, runs);
  if (reads_in_quads(pattern, runs)) return quad_tile_work(queries, pattern, runs);
  const int lanes = queries.lanes;
  const bool by_rows = output_by_rows(runs, lanes, dim_v);
  BlockCursor blocks(runs, block_keys(by_rows));
  for (KeyBlock block;;) {
    const BlockCount whole = blocks.skip_unmasked();
    const auto pairs_of_whole = static_cast<double>(whole.keys * lanes);
    work.pairs += pairs_of_whole;
    work.value_pairs += pairs_of_whole;
    work.exps += pairs_of_whole + static_cast<double>(whole.blocks * lanes);
    if (!blocks.next(block)) return work;
    std::uint64_t mask[kMostBlockKeys];
    const BlockPairs pairs =
        block_pairs(block_ranges(pattern, queries, runs, block, mask), lanes, by_rows);
    work.pairs += static_cast<double>(pairs.scores);
    work.value_pairs += static_cast<double>(pairs.values);
    work.exps += static_cast<double>(pairs.exps);
  }
}

TileWork tiled_softmax_work(const Problem& problem, const KeyPattern& base, int threads) {
  const ProblemPattern masked(problem, base);
  const KeyPattern& pattern = *masked;
  TileWork total;
  std::vector<KeyRun> runs;
  const std::int64_t parts = key_splits(problem, threads);
  for_each_distinct_tile(problem, [&](const TileQueries& queries, double heads) {
    for (std::int64_t part = 0; part < parts; ++part) {
      total.add(tile_work(queries, KeyShare(pattern, part, parts), runs, problem.dim_v), heads);
    }
  });
  return total;
}

}  // namespace attnbench::kernels
