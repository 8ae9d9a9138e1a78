#include "kernels/strided_pattern.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/key_ranges.h"
#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/query_tiles.h"
#include "kernels/residue_class.h"
#include "kernels/shared_heads.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// Keys of a residue class, in class coordinates: position t reads keys u < t when causal, u != t
/// otherwise (u = t is in the band).
class ResiduePattern final : public KeyPattern {
 public:
  ResiduePattern(const Problem& p, std::int64_t stride, std::int64_t residue, std::int64_t keys)
      : causal_(p.causal), stride_(stride), residue_(residue), keys_(keys) {}

  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override {
    const std::int64_t first = std::clamp<std::int64_t>(tile.first(), 0, keys_);
    const std::int64_t last = std::clamp<std::int64_t>(tile.last() + (causal_ ? 0 : 1), 0, keys_);
    add(out, 0, first, false);
    add(out, first, last, true);
    if (!causal_) add(out, std::max(first, last), keys_, false);
  }
  void mask(const TileQueries& tile, int, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override {
    if (consecutive(tile) && end - begin <= kKeyBlock) {
      const std::uint64_t* below = lanes_below(begin - tile.first());
      const std::uint64_t* upto = lanes_below(begin - tile.first() + 1);
      for (std::int64_t n = 0; n < end - begin; ++n) bits[n] = ~upto[n] | (causal_ ? 0 : below[n]);
      return;
    }
    int below = 0;  // Lanes whose position is below u.
    int upto = 0;   // Lanes whose position is at most u.
    for (std::int64_t u = begin; u < end; ++u) {
      while (below < tile.lanes && tile.position[below] < u) ++below;
      while (upto < tile.lanes && tile.position[upto] <= u) ++upto;
      bits[u - begin] = lane_range(upto, tile.lanes) | (causal_ ? 0 : lane_range(0, below));
    }
  }
  bool ranges(const TileQueries& tile, int, std::int64_t begin, std::int64_t end,
              BlockRanges& ranges) const override {
    if (!causal_) return false;
    for_each_part(ranges, tile.lanes, [&](int, int last) {
      const std::int64_t keys = std::clamp(tile.position[last], begin, end) - begin;
      return KeySpan{0, static_cast<int>(keys)};
    });
    return true;
  }
  // Without the causal mask a tile of 64 leaves out next to nothing that four queries do.
  bool few_keys() const override {
    return keys_ <= (causal_ ? kFewKeysOfQuery : kFewKeysOfQuery / 2);
  }
  bool in_place(int) const override { return false; }
  std::int64_t key(int, std::int64_t at) const override { return residue_ + at * stride_; }

 private:
  static void add(std::vector<KeyRun>& out, std::int64_t begin, std::int64_t end, bool masked) {
    if (begin < end) out.push_back({0, begin, end, masked});
  }
  bool causal_;
  std::int64_t stride_, residue_, keys_;
};

WindowPattern band_pattern(const Problem& p, std::int64_t stride) {
  return {stride - 1, p.causal ? 0 : stride - 1, p.diagonal(), p.seq_k, p.key_lengths};
}

/// A thread's storage for both phases.
struct ResidueScratch {
  float* tile = nullptr;
  float* k = nullptr;
  float* v = nullptr;
  std::vector<KeyRun> runs;
  std::optional<TileSequence> band;
  Upcoming upcoming;
};

struct ResidueCall {
  TileCall tiles;
  std::int64_t stride;
  const Inputs& inputs;
};

/// One residue class of one key-value head.
struct ClassIndex {
  HeadIndex at;
  std::int64_t residue = 0;
};

/// What computing a class begins with: its keys and values, a stride apart, and its first tile.
void add_class(const ResidueCall& call, const ClassIndex& index, Upcoming& upcoming) {
  const Problem& p = call.tiles.problem;
  const HeadIndex& at = index.at;
  const ResidueClass c = residue_class(p, call.stride, index.residue);
  if (c.queries == 0) return;
  const auto add = [&](const auto& rows, std::int64_t head, std::int64_t first, std::int64_t count,
                       std::int64_t numbers) {
    upcoming.add_rows(rows.row(at.batch, head, first), call.stride * rows.stride[2], count,
                      numbers);
  };
  const std::int64_t keys = class_keys(p.key_length(at.batch), call.stride, index.residue);
  add(call.inputs.k, at.head, index.residue, keys, p.dim_qk);
  add(call.inputs.v, at.head, index.residue, keys, p.dim_v);
  const std::int64_t queries = std::min<std::int64_t>(c.queries, kTileQueries / p.group());
  for (std::int64_t h = at.head * p.group(); h < (at.head + 1) * p.group(); ++h) {
    add(call.tiles.q, h, c.first_query, queries, p.dim_qk);
    add(call.tiles.out, h, c.first_query, queries, p.dim_v);
    const SoftmaxState* states =
        call.tiles.states + (at.batch * p.heads_q + h) * p.seq_q + c.first_query;
    upcoming.add_rows(&states->maximum, 2 * call.stride, queries, 2);
  }
}

/// Rows so far apart share the sets of a first-level cache.
constexpr std::int64_t kSetPeriodBytes = 4096;

/// The keys and values of a class of so many lanes: where they are, or gathered if several tiles
/// read them or the few lines of a row would drive those of the others out.
SourceRows class_rows(const ResidueCall& call, const HeadIndex& at, std::int64_t residue,
                      std::int64_t keys, std::int64_t lanes, ResidueScratch& scratch) {
  const auto rows = [&](const ConstTensorView& from, float* gathered) {
    const std::int64_t step = call.stride * from.stride[2];
    const auto step_bytes = step * static_cast<std::int64_t>(sizeof(float));
    if (lanes <= kTileQueries && step_bytes % kSetPeriodBytes != 0) {
      return std::pair<const float*, std::int64_t>(from.row(at.batch, at.head, residue), step);
    }
    copy_rows(from, at, residue, call.stride, keys, gathered);
    return std::pair<const float*, std::int64_t>(gathered, from.shape[3]);
  };
  const auto [k, k_stride] = rows(call.inputs.k, scratch.k);
  const auto [v, v_stride] = rows(call.inputs.v, scratch.v);
  return {k, k_stride, v, v_stride};
}

/// Computes a class while the rows of the `next` one (null for none) come closer.
void run_class(const ResidueCall& call, const ClassIndex& index, const ClassIndex* next,
               ResidueScratch& scratch) {
  const Problem& p = call.tiles.problem;
  const auto& [at, r] = index;
  const ResidueClass c = residue_class(p, call.stride, r);
  if (c.queries == 0) return;
  const std::int64_t keys = class_keys(p.key_length(at.batch), call.stride, r);
  const SourceRows source[] = {class_rows(call, at, r, keys, c.queries * p.group(), scratch)};
  const ResiduePattern residues(p, call.stride, r, keys);
  const ProblemPattern pattern(p, residues);
  const auto place = [&](std::int64_t n) { return c.place(n); };
  scratch.upcoming.clear();
  if (next != nullptr) add_class(call, *next, scratch.upcoming);
  const std::int64_t lanes = c.queries * p.group();
  for (std::int64_t begin = 0; begin < lanes; begin += kTileQueries) {
    TileJob job;
    fill_job(call.tiles, at, begin, lanes_until(begin, lanes), place, job);
    job.resume = true;
    job.sources = source;
    job.pattern = &*pattern;
    job.scratch = scratch.tile;
    job.runs = &scratch.runs;
    list_runs(job);
    if (begin == 0) {
      scratch.upcoming.spread_over(
          product_work(scratch.runs, job.queries.lanes, p.dim_qk + p.dim_v));
    }
    job.upcoming = &scratch.upcoming;
    run_tile(job);
  }
}

std::size_t state_floats(const Problem& p) {
  return static_cast<std::size_t>(2 * p.batch * p.heads_q * p.seq_q);
}

/// The key in row u of the gathered summaries.
std::int64_t summary_key(std::int64_t u, std::int64_t stride, std::int64_t summary) {
  return u / summary * stride + stride - summary + u % summary;
}

/// Own block in source 0, summary keys of the other blocks in source 1 (gathered, block by block).
class FixedPattern final : public KeyPattern {
 public:
  FixedPattern(const Problem& p, std::int64_t stride, std::int64_t summary)
      : p_(p), stride_(stride), summary_(summary) {}

  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override {
    const std::int64_t first = block(tile.first()), last = block(tile.last());
    const std::int64_t own = std::clamp<std::int64_t>(first * stride_, 0, length(tile));
    const std::int64_t own_end = own_high(tile, tile.last());
    const bool masked = p_.causal || first != last;
    add(out, 0, own, own_end, masked);
    const std::int64_t columns = summaries(tile);
    const std::int64_t before = std::clamp<std::int64_t>(first * summary_, 0, columns);
    const std::int64_t through =
        std::clamp<std::int64_t>((last + (p_.causal ? 0 : 1)) * summary_, before, columns);
    add(out, 1, 0, before, false);
    add(out, 1, before, through, true);
    if (!p_.causal) add(out, 1, through, columns, false);
  }

  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override {
    int from = 0;     // Lanes below: their block is before this key's.
    int to = 0;       // Lanes below: their block is not after it.
    int reached = 0;  // Lanes below: their position is before key j.
    for (std::int64_t j = begin; j < end; ++j) {
      const std::int64_t key_block = source == 0 ? j / stride_ : j / summary_;
      while (from < tile.lanes && position(tile, from) < key_block * stride_) ++from;
      while (to < tile.lanes && position(tile, to) < (key_block + 1) * stride_) ++to;
      if (source == 0) {
        while (reached < tile.lanes && position(tile, reached) < j) ++reached;
        bits[j - begin] = lane_range(p_.causal ? std::max(from, reached) : from, to);
      } else {
        bits[j - begin] = lane_range(to, tile.lanes) | (p_.causal ? 0 : lane_range(0, from));
      }
    }
  }
  bool in_place(int source) const override { return source == 0; }
  std::int64_t key(int source, std::int64_t at) const override {
    return source == 0 ? at : summary_key(at, stride_, summary_);
  }

 private:
  static void add(std::vector<KeyRun>& out, int source, std::int64_t begin, std::int64_t end,
                  bool masked) {
    if (begin < end) out.push_back({source, begin, end, masked});
  }
  std::int64_t length(const TileQueries& tile) const { return p_.key_length(tile.batch); }
  std::int64_t position(const TileQueries& tile, int lane) const {
    return tile.position[lane] + p_.diagonal();
  }
  std::int64_t block(std::int64_t i) const { return floor_div(i + p_.diagonal(), stride_); }
  /// End of the keys that query i reads in its own block.
  std::int64_t own_high(const TileQueries& tile, std::int64_t i) const {
    const std::int64_t end = p_.causal ? i + p_.diagonal() + 1 : (block(i) + 1) * stride_;
    return std::clamp<std::int64_t>(end, 0, length(tile));
  }
  /// Gathered summary keys below the batch row's key length.
  std::int64_t summaries(const TileQueries& tile) const {
    const std::int64_t keys = length(tile);
    const std::int64_t whole = keys / stride_;
    return whole * summary_ +
           std::max<std::int64_t>(keys - whole * stride_ - (stride_ - summary_), 0);
  }

  const Problem& p_;
  std::int64_t stride_, summary_;
};

/// Rows that are gathered per head: whole blocks and what the last, shorter one has.
std::int64_t summary_rows(const Problem& p, std::int64_t stride, std::int64_t summary) {
  const std::int64_t whole = p.seq_k / stride;
  return whole * summary + std::max<std::int64_t>(p.seq_k - whole * stride - (stride - summary), 0);
}

}  // namespace

void strided_softmax(const Problem& p, const LogitTerms& terms, std::int64_t stride,
                     const Inputs& inputs, TensorView output, Workspace& workspace,
                     Executor& executor) {
  auto* states = reinterpret_cast<SoftmaxState*>(workspace.take(state_floats(p)));
  const auto keys = static_cast<std::size_t>(class_keys_limit(p, stride));
  PerThread<ResidueScratch> scratch(executor.threads(), [&](int) {
    ResidueScratch s;
    s.k = workspace.take(keys * static_cast<std::size_t>(p.dim_qk));
    s.v = workspace.take(keys * static_cast<std::size_t>(p.dim_v));
    s.tile = workspace.take(tile_scratch_floats(p.dim_qk, p.dim_v));
    s.band.emplace(s.tile);
    return s;
  });
  const KeySource sources[] = {{inputs.k, inputs.v}};
  const WindowPattern band = band_pattern(p, stride);
  const TiledSoftmaxCall band_call{p,      p.scale_or_default(), sources, band, inputs.q, output,
                                   states, terms.if_any()};
  const auto modifier = make_score_modifier(p);
  const ResidueCall call{
      {p, inputs.q, output, states, terms.if_any(), modifier.get()}, stride, inputs};
  const HeadTiles band_tiles(band_call);
  // The band brings a head; its classes find it in a core's own cache where that keeps it.
  const bool far_heads = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const bool far_classes = head_bytes(p) > kNearHeadBytes;
  // A row's band and its class run on one core where a thread has the head to itself: its
  // unnormalised output then does not cross from one core's cache to another's.
  share_heads<2>(p.batch * p.heads_kv, {band_tiles.count(), stride}, executor,
                 [&](const HeadPiece& piece, int slot) {
                   ResidueScratch& mine = scratch[slot];
                   if (piece.phase == 0) return band_tiles.run(piece, far_heads, *mine.band);
                   const auto class_at = [&](std::int64_t head, std::int64_t residue) {
                     return ClassIndex{{head / p.heads_kv, head % p.heads_kv}, residue};
                   };
                   std::optional<ClassIndex> next;
                   if (far_classes && piece.next)
                     next = class_at(piece.next->head, piece.next->index);
                   run_class(call, class_at(piece.head, piece.index), next ? &*next : nullptr,
                             mine);
                 });
}

std::size_t strided_softmax_workspace_bytes(const Problem& p, std::int64_t stride, int threads) {
  const auto keys = static_cast<std::size_t>(class_keys_limit(p, stride));
  const std::size_t per_thread = workspace_take_bytes(keys * static_cast<std::size_t>(p.dim_qk)) +
                                 workspace_take_bytes(keys * static_cast<std::size_t>(p.dim_v)) +
                                 workspace_take_bytes(tile_scratch_floats(p.dim_qk, p.dim_v));
  return workspace_take_bytes(state_floats(p)) + static_cast<std::size_t>(threads) * per_thread;
}

TileWork strided_softmax_work(const Problem& p, std::int64_t stride) {
  TileWork total = tiled_softmax_work(p, band_pattern(p, stride), 1);
  std::vector<KeyRun> runs;
  for_each_distinct_head(p, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t r = 0; r < stride; ++r) {
      const ResidueClass c = residue_class(p, stride, r);
      const ResiduePattern residues(p, stride, r, class_keys(p.key_length(b), stride, r));
      const ProblemPattern pattern(p, residues);
      const auto place = [&](std::int64_t n) { return c.place(n); };
      for (std::int64_t begin = 0; begin < c.queries * p.group(); begin += kTileQueries) {
        TileQueries queries;
        place_lanes(p, {b, head}, begin, lanes_until(begin, c.queries * p.group()), place, queries);
        total.add(tile_work(queries, *pattern, runs, p.dim_v, true), heads);
      }
    }
  });
  return total;
}

void fixed_softmax(const Problem& p, const LogitTerms& terms, std::int64_t stride,
                   std::int64_t summary, const Inputs& inputs, TensorView output,
                   Workspace& workspace, Executor& executor) {
  const std::int64_t rows = summary_rows(p, stride, summary);
  const std::int64_t heads = p.batch * p.heads_kv;
  float* k = workspace.take(static_cast<std::size_t>(heads * rows * p.dim_qk));
  float* v = workspace.take(static_cast<std::size_t>(heads * rows * p.dim_v));
  std::vector<std::int64_t> keys;
  for (std::int64_t u = 0; u < rows; ++u) {
    keys.push_back(u / summary * stride + stride - summary + u % summary);
  }
  executor.parallel_for(heads, [&](std::int64_t head, int) {
    const HeadIndex at{head / p.heads_kv, head % p.heads_kv};
    for (std::int64_t u = 0; u < rows; ++u) {
      const std::int64_t j = keys[static_cast<std::size_t>(u)];
      copy_rows(inputs.k, at, j, 1, 1, k + (head * rows + u) * p.dim_qk);
      copy_rows(inputs.v, at, j, 1, 1, v + (head * rows + u) * p.dim_v);
    }
  });
  const std::array<std::int64_t, 4> k_shape{p.batch, p.heads_kv, rows, p.dim_qk};
  const std::array<std::int64_t, 4> v_shape{p.batch, p.heads_kv, rows, p.dim_v};
  const KeySource sources[] = {{inputs.k, inputs.v},
                               {{k, k_shape, layout_strides(k_shape, Layout::bhnd)},
                                {v, v_shape, layout_strides(v_shape, Layout::bhnd)}}};
  const FixedPattern pattern(p, stride, summary);
  tiled_softmax(
      {p, p.scale_or_default(), sources, pattern, inputs.q, output, nullptr, terms.if_any()},
      workspace, executor);
}

std::size_t fixed_softmax_workspace_bytes(const Problem& p, std::int64_t stride,
                                          std::int64_t summary, int threads) {
  const std::int64_t rows = p.batch * p.heads_kv * summary_rows(p, stride, summary);
  return workspace_take_bytes(static_cast<std::size_t>(rows * p.dim_qk)) +
         workspace_take_bytes(static_cast<std::size_t>(rows * p.dim_v)) +
         tiled_softmax_workspace_bytes(p, FixedPattern(p, stride, summary), threads);
}

TileWork fixed_softmax_work(const Problem& p, std::int64_t stride, std::int64_t summary,
                            int threads) {
  return tiled_softmax_work(p, FixedPattern(p, stride, summary), threads);
}

}  // namespace attnbench::kernels
