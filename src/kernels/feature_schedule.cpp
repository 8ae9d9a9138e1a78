// How feature attention is shared out: heads first; where these do not keep all threads busy, the
// keys of a head in segments whose states are summed (bidirectional) or scanned (causal).
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/feature_attention.h"
#include "kernels/feature_chunk.h"
#include "kernels/feature_cuts.h"
#include "kernels/per_thread.h"
#include "kernels/query_tiles.h"
#include "kernels/shared_heads.h"
#include "kernels/tile_sequence.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {
namespace {

FeatureShape shape_of(const FeatureCall& call) {
  const Problem& p = call.problem;
  return {call.map,
          call.omega,
          call.features,
          p.dim_qk,
          p.dim_v,
          (p.dim_v + 15) / 16 * 16,
          std::sqrt(p.scale_or_default())};
}

/// Buffer sizes in floats, in the order of FeatureBuffers.
std::vector<std::size_t> buffer_floats(const FeatureShape& s) {
  const auto n = [](std::int64_t x) { return static_cast<std::size_t>(x); };
  return {n(s.dim_qk * kFeatureChunk),
          n(s.features * kFeatureChunk),
          n(s.features * kFeatureChunk),
          n(s.features),
          n(kFeatureChunk * s.padded_dim_v),
          n(kFeatureChunk * kFeatureChunk),
          n(s.dim_v * kFeatureChunk),
          n(kFeatureChunk),
          n(kFeatureChunk)};
}

FeatureBuffers take_buffers(const FeatureShape& s, Workspace& workspace) {
  std::vector<float*> p;
  for (std::size_t floats : buffer_floats(s)) p.push_back(workspace.take(floats));
  return {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], nullptr};
}

FeatureState take_state(const FeatureShape& s, Workspace& workspace) {
  const auto features = static_cast<std::size_t>(s.features);
  FeatureState state;
  state.sum = workspace.take(features * static_cast<std::size_t>(s.padded_dim_v));
  state.normaliser = workspace.take(features);
  state.shift = workspace.take(features);
  return state;
}

std::size_t state_bytes(const FeatureShape& s) {
  const auto features = static_cast<std::size_t>(s.features);
  return workspace_take_bytes(features * static_cast<std::size_t>(s.padded_dim_v)) +
         2 * workspace_take_bytes(features);
}

/// Everything of one call that its tasks share.
struct FeatureRun {
  const FeatureCall& call;
  const Problem& p;
  FeatureShape shape;
  const Inputs& inputs;
  TensorView output;
  HeadCuts cuts;
  std::vector<FeatureState> states;
  std::vector<FeatureBuffers> buffers;
  PerThread<Upcoming> upcoming;

  FeatureState& state(std::int64_t head, std::int64_t segment) {
    return states[static_cast<std::size_t>(cuts.state(head, segment))];
  }
};

void clear(const FeatureShape& s, FeatureState& state) {
  std::fill_n(state.sum, s.features * s.padded_dim_v, 0.0F);
  std::fill_n(state.normaliser, s.features, 0.0F);
  const float none = -std::numeric_limits<float>::infinity();
  // The rectified map has no stabiliser: its shifts are all zero.
  std::fill_n(state.shift, s.features, s.map == FeatureMap::exponential ? none : 0.0F);
}

KeyChunk key_chunk(const FeatureRun& run, std::int64_t head, std::int64_t begin, std::int64_t end) {
  const std::int64_t b = head / run.p.heads_kv, h = head % run.p.heads_kv;
  return {run.inputs.k.row(b, h, begin), run.inputs.k.stride[2], run.inputs.v.row(b, h, begin),
          run.inputs.v.stride[2], end - begin};
}

/// The chunk of keys from `begin` on, of those before `end`; none where there are none left.
KeyChunk chunk_from(const FeatureRun& run, std::int64_t head, std::int64_t begin,
                    std::int64_t end) {
  return begin < end ? key_chunk(run, head, begin, std::min(begin + kFeatureChunk, end))
                     : KeyChunk{};
}

/// Consecutive queries of one head; none where count is not above 0.
struct QueryRange {
  HeadIndex at;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

QueryRange query_chunk(const Problem& p, const HeadIndex& at, std::int64_t chunk) {
  const std::int64_t begin = chunk * kFeatureChunk;
  return {at, begin, std::min(kFeatureChunk, p.seq_q - begin)};
}

/// Lets the next projection ask for keys and values, and for queries and where their outputs go.
void look_ahead(const FeatureRun& run, const KeyChunk& keys, const QueryRange& queries,
                Upcoming* upcoming) {
  if (upcoming == nullptr) return;
  const Problem& p = run.p;
  upcoming->clear();
  upcoming->add_rows(keys.k, keys.k_stride, keys.count, p.dim_qk);
  upcoming->add_rows(keys.v, keys.v_stride, keys.count, p.dim_v);
  if (queries.count > 0) {
    const auto& [b, h] = queries.at;
    upcoming->add_rows(run.inputs.q.row(b, h, queries.begin), run.inputs.q.stride[2], queries.count,
                       p.dim_qk);
    upcoming->add_rows(run.output.row(b, h, queries.begin), run.output.stride[2], queries.count,
                       p.dim_v);
  }
  upcoming->spread_over(static_cast<double>(run.shape.features * kFeatureChunk * p.dim_qk));
}

/// `after`: the queries that are answered next, if any.
void absorb_range(FeatureRun& run, std::int64_t head, std::int64_t begin, std::int64_t end,
                  const QueryRange& after, FeatureState& state, const FeatureBuffers& buffers) {
  for (std::int64_t j = begin; j < end; j += kFeatureChunk) {
    const KeyChunk next = chunk_from(run, head, j + kFeatureChunk, end);
    look_ahead(run, next, next.count > 0 ? QueryRange{} : after, buffers.upcoming);
    absorb_keys(run.shape, chunk_from(run, head, j, end), state, buffers);
  }
}

/// Row pointers of up to 64 queries.
struct QueryRows {
  const float* q[kFeatureChunk];
  float* out[kFeatureChunk];
  std::int64_t count = 0;
};

void gather_queries(const FeatureRun& run, const QueryRange& queries, QueryRows& rows) {
  const auto& [b, h] = queries.at;
  rows.count = queries.count;
  for (std::int64_t i = 0; i < rows.count; ++i) {
    rows.q[i] = run.inputs.q.row(b, h, queries.begin + i);
    rows.out[i] = run.output.row(b, h, queries.begin + i);
  }
}

void zero_rows(const FeatureRun& run, const QueryRows& rows) {
  for (std::int64_t i = 0; i < rows.count; ++i) std::fill_n(rows.out[i], run.p.dim_v, 0.0F);
}

void run_bidirectional(FeatureRun& run, Executor& executor) {
  const Problem& p = run.p;
  const std::int64_t heads = p.batch * p.heads_kv;
  const std::int64_t segments = run.cuts.segments;
  const std::int64_t segment_chunks = (chunks_of(p.seq_k) + segments - 1) / segments;
  const std::int64_t tiles = chunks_of(p.seq_q);
  const auto queries_of = [&](std::int64_t head, std::int64_t tile) {
    return query_chunk(p, {head / p.heads_kv, head % p.heads_kv * p.group() + tile / tiles},
                       tile % tiles);
  };
  const auto absorb_segment = [&](std::int64_t head, std::int64_t segment, int slot) {
    FeatureState& state = run.state(head, segment);
    clear(run.shape, state);
    const std::int64_t keys = p.key_length(head / p.heads_kv);
    const std::int64_t begin = std::min(segment * segment_chunks * kFeatureChunk, keys);
    const std::int64_t end = std::min((segment + 1) * segment_chunks * kFeatureChunk, keys);
    absorb_range(run, head, begin, end, queries_of(head, 0), state,
                 run.buffers[static_cast<std::size_t>(slot)]);
  };
  const auto merge_segments = [&](std::int64_t head) {
    for (std::int64_t segment = 1; segment < segments; ++segment) {
      merge_states(run.shape, run.state(head, segment), run.state(head, 0));
    }
  };
  const auto answer_tile = [&](const HeadPiece& piece, int slot) {
    const QueryRange queries = queries_of(piece.head, piece.index);
    QueryRows rows;
    gather_queries(run, queries, rows);
    if (p.key_length(queries.at.batch) == 0) return zero_rows(run, rows);
    const FeatureBuffers& buffers = run.buffers[static_cast<std::size_t>(slot)];
    const QueryRange next =
        piece.next ? queries_of(piece.next->head, piece.next->index) : QueryRange{};
    look_ahead(run, {}, next, buffers.upcoming);
    answer_queries(run.shape, {rows.q, rows.out, rows.count}, nullptr, 0, run.state(piece.head, 0),
                   buffers);
  };
  share_heads<3>(heads, {segments, 1, p.group() * tiles}, executor,
                 [&](const HeadPiece& piece, int slot) {
                   if (piece.phase == 0) return absorb_segment(piece.head, piece.index, slot);
                   if (piece.phase == 1) return merge_segments(piece.head);
                   answer_tile(piece, slot);
                 });
}

/// Keys that every query from chunk `t` on may read: they are in the state before that chunk.
std::int64_t keys_before(const Problem& p, std::int64_t b, std::int64_t t) {
  return std::clamp<std::int64_t>(std::min(t * kFeatureChunk, p.seq_q) + p.diagonal(), 0,
                                  p.key_length(b));
}

/// Query chunks [begin, end) of one key-value head, in order; `state` holds the keys before them.
void run_causal_chunks(FeatureRun& run, std::int64_t head, std::int64_t begin, std::int64_t end,
                       FeatureState& state, const FeatureBuffers& buffers) {
  const Problem& p = run.p;
  const std::int64_t b = head / p.heads_kv, kv = head % p.heads_kv;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t from = keys_before(p, b, t), to = keys_before(p, b, t + 1);
    KeyChunk keys;
    if (to > from) {
      keys = key_chunk(run, head, from, to);
      look_ahead(run, chunk_from(run, head, to, keys_before(p, b, t + 2)), {}, buffers.upcoming);
      map_keys(run.shape, keys, state, buffers);
    }
    const std::int64_t first_head = kv * p.group(), last_head = first_head + p.group() - 1;
    for (std::int64_t h = first_head; h <= last_head; ++h) {
      QueryRows rows;
      gather_queries(run, query_chunk(p, {b, h}, t), rows);
      if (to == 0) {
        zero_rows(run, rows);
        continue;
      }
      look_ahead(
          run, {},
          h < last_head ? query_chunk(p, {b, h + 1}, t) : query_chunk(p, {b, first_head}, t + 1),
          buffers.upcoming);
      answer_queries(run.shape, {rows.q, rows.out, rows.count}, to > from ? &keys : nullptr,
                     t * kFeatureChunk + p.diagonal() - from, state, buffers);
    }
    if (to > from) add_mapped_keys(run.shape, keys, state, buffers);
  }
}

/// How far the states that a cut head's segments start from are.
struct SegmentStates {
  std::atomic<std::int64_t> left{0};
  std::atomic<bool> ready{false};

  void wait() const {
    while (!ready.load(std::memory_order_acquire)) std::this_thread::yield();
  }
};

void run_causal(FeatureRun& run, Executor& executor) {
  const Problem& p = run.p;
  const HeadCuts& cuts = run.cuts;
  const std::int64_t others = cuts.segments - 1;
  std::vector<SegmentStates> starts(static_cast<std::size_t>(cuts.cut()));
  for (SegmentStates& states : starts) states.left.store(others);
  // The state of the keys of one segment, to start the next one from; whoever is the last with a
  // head's makes each the sum of all before it.
  const auto absorb_segment = [&](std::int64_t cut, std::int64_t segment, int slot) {
    const std::int64_t head = cuts.whole + cut, b = head / p.heads_kv;
    FeatureState& state = run.state(head, segment + 1);
    clear(run.shape, state);
    const std::int64_t begin =
        segment == 0 ? 0 : keys_before(p, b, cuts.first_chunk(head, segment));
    absorb_range(run, head, begin, keys_before(p, b, cuts.first_chunk(head, segment + 1)), {},
                 state, run.buffers[static_cast<std::size_t>(slot)]);
    SegmentStates& states = starts[static_cast<std::size_t>(cut)];
    if (states.left.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    for (std::int64_t next = 2; next <= others; ++next) {
      merge_states(run.shape, run.state(head, next - 1), run.state(head, next));
    }
    states.ready.store(true, std::memory_order_release);
  };
  const auto run_segment = [&](std::int64_t head, std::int64_t segment, int slot) {
    FeatureState& state = run.state(head, segment);
    const FeatureBuffers& buffers = run.buffers[static_cast<std::size_t>(slot)];
    if (segment == 0) {
      clear(run.shape, state);
      absorb_range(run, head, 0, keys_before(p, head / p.heads_kv, 0), {}, state, buffers);
    }
    run_causal_chunks(run, head, cuts.first_chunk(head, segment),
                      cuts.first_chunk(head, segment + 1), state, buffers);
  };
  // In this order, each begun before the next: absorbing, whole heads, first segments, the others,
  // which alone wait, for what was begun before them.
  const std::int64_t absorbs = cuts.cut() * others;
  executor.parallel_for(absorbs + cuts.heads + absorbs, [&](std::int64_t index, int slot) {
    if (index < absorbs) return absorb_segment(index / others, index % others, slot);
    index -= absorbs;
    if (index < cuts.heads) return run_segment(index, 0, slot);
    index -= cuts.heads;
    starts[static_cast<std::size_t>(index / others)].wait();
    run_segment(cuts.whole + index / others, index % others + 1, slot);
  });
}

/// Multiply-adds within the causal chunks of one query head.
double within_chunk_pairs(const Problem& p, std::int64_t b) {
  double pairs = 0;
  for (std::int64_t t = 0; t < chunks_of(p.seq_q); ++t) {
    const std::int64_t from = keys_before(p, b, t), to = keys_before(p, b, t + 1);
    const std::int64_t queries = std::min(kFeatureChunk, p.seq_q - t * kFeatureChunk);
    for (std::int64_t column = 0; column < queries; column += kIntraColumns) {
      pairs += static_cast<double>(
          visible_keys(to - from, t * kFeatureChunk + p.diagonal() - from, column) *
          std::min(kIntraColumns, queries - column));
    }
  }
  return pairs;
}

/// Queries of one head that read any key at all.
double answered_queries(const Problem& p, std::int64_t b) {
  if (!p.causal) return p.key_length(b) > 0 ? static_cast<double>(p.seq_q) : 0;
  double queries = 0;
  for (std::int64_t t = 0; t < chunks_of(p.seq_q); ++t) {
    if (keys_before(p, b, t + 1) > 0) {
      queries += static_cast<double>(std::min(kFeatureChunk, p.seq_q - t * kFeatureChunk));
    }
  }
  return queries;
}

/// Keys of one head that are mapped, those mapped twice by the scan of a cut head included.
double mapped_keys(const Problem& p, const HeadCuts& cuts, std::int64_t head) {
  const std::int64_t b = head / p.heads_kv;
  if (!p.causal) return static_cast<double>(p.key_length(b));
  const std::int64_t last = cuts.first_chunk(head, cuts.segments_of(head) - 1);
  const std::int64_t scanned = last > 0 ? keys_before(p, b, last) : 0;
  return static_cast<double>(keys_before(p, b, chunks_of(p.seq_q)) + scanned);
}

}  // namespace

void feature_attention(const FeatureCall& call, const Inputs& inputs, TensorView output,
                       Workspace& workspace, Executor& executor) {
  const Problem& p = call.problem;
  const FeatureShape shape = shape_of(call);
  FeatureRun run{call,   p,      shape,
                 inputs, output, cut_heads(shape, p, executor.threads()),
                 {},     {},     PerThread<Upcoming>(executor.threads())};
  const bool ask = p.batch * p.heads_kv * head_bytes(p) > kNearBytesOfAllKeys;
  for (std::int64_t i = 0; i < run.cuts.states(); ++i) {
    run.states.push_back(take_state(run.shape, workspace));
  }
  for (int slot = 0; slot < executor.threads(); ++slot) {
    run.buffers.push_back(take_buffers(run.shape, workspace));
    if (ask) run.buffers.back().upcoming = &run.upcoming[slot];
  }
  if (p.causal) {
    run_causal(run, executor);
  } else {
    run_bidirectional(run, executor);
  }
}

FeatureWork feature_attention_work(const FeatureCall& call, int threads) {
  const Problem& p = call.problem;
  const FeatureShape s = shape_of(call);
  const HeadCuts cuts = cut_heads(s, p, threads);
  const auto m = static_cast<double>(s.features);
  const auto width = static_cast<double>(s.dim_qk + s.dim_v);
  FeatureWork work;
  double keys = 0, queries = 0, pairs = 0;
  for (std::int64_t head = 0; head < cuts.heads; ++head) keys += mapped_keys(p, cuts, head);
  for (std::int64_t b = 0; b < p.batch; ++b) {
    queries += answered_queries(p, b) * static_cast<double>(p.heads_q);
    if (p.causal) pairs += within_chunk_pairs(p, b) * static_cast<double>(p.heads_q);
  }
  work.flops = 2 * (m * width * keys + m * (width + 1) * queries +
                    (m + static_cast<double>(s.dim_v)) * pairs);
  work.exps = s.map == FeatureMap::exponential ? m * (keys + queries) : 0;
  work.workspace_bytes = static_cast<std::size_t>(cuts.states()) * state_bytes(s);
  for (std::size_t floats : buffer_floats(s)) {
    work.workspace_bytes += static_cast<std::size_t>(threads) * workspace_take_bytes(floats);
  }
  return work;
}

}  // namespace attnbench::kernels
