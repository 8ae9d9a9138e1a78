#include <algorithm>
#include <cmath>

#include "kernels/key_ranges.h"
#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/prepared_pair.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

WindowPattern monotonic_pattern(const Problem& p, std::int64_t window) {
  return {window, p.causal ? 0 : window, p.diagonal(), p.seq_k, p.key_lengths};
}

/// What `next` reads and `now` does not, and where it writes: its queries, the keys and values of
/// its windows, its output rows.
void add_next_tile(const Problem& p, std::int64_t window, const LaneTile& now, const LaneTile& next,
                   const Inputs& inputs, Upcoming& upcoming) {
  upcoming.add_rows(next.q_rows, next.queries.lanes, p.dim_qk);
  const std::int64_t right = p.causal ? 0 : window;
  const auto low = [&](const LaneTile& tile) {
    return index_within(static_cast<double>(tile.queries.first() + p.diagonal() - window), p.seq_k);
  };
  const auto high = [&](const LaneTile& tile) {
    return index_within(static_cast<double>(tile.queries.last() + p.diagonal() + right + 1),
                        p.seq_k);
  };
  std::int64_t begin = low(next), end = high(next);
  if (next.kv_head == now.kv_head && next.queries.batch == now.queries.batch) {
    if (next.queries.first() < now.queries.first()) {
      end = std::min(end, low(now));
    } else {
      begin = std::max(begin, high(now));
    }
  }
  const std::int64_t b = next.queries.batch, h = next.kv_head;
  const std::int64_t count = rows_ahead(p, end - begin);
  upcoming.add_rows(inputs.k.row(b, h, begin), inputs.k.stride[2], count, p.dim_qk);
  upcoming.add_rows(inputs.v.row(b, h, begin), inputs.v.stride[2], count, p.dim_v);
  upcoming.add_rows(next.out_rows, next.queries.lanes, p.dim_v);
}

}  // namespace

std::size_t monotonic_floats(const Problem& p) {
  return static_cast<std::size_t>((kMostBlockKeys + p.dim_v + 3 + p.dim_qk) * kTileQueries);
}

GaussianTable::GaussianTable(const Problem& p, std::int64_t window) {
  // Pairs of a tile that its mask forbids are looked up as well, and lanes that it does not have.
  const std::int64_t reach =
      std::min(window, std::max(p.seq_q, p.seq_k)) + std::int64_t{2} * kTileQueries;
  const std::int64_t group = p.group();
  zero_ = reach * group;
  values_.reserve(static_cast<std::size_t>((2 * reach + 1) * group));
  for (std::int64_t x = -reach; x <= reach; ++x) {
    const double ratio = 2 * static_cast<double>(x) / static_cast<double>(window);  // x / sigma
    values_.insert(values_.end(), static_cast<std::size_t>(group),
                   static_cast<float>(std::exp(-ratio * ratio / 2)));
  }
  if (!monotonic_pattern(p, window).few_keys()) return;
  // Where a quad needs distances that are not here, its mask forbids the pair.
  const auto size = static_cast<std::int64_t>(values_.size());
  quads_.reserve(values_.size() * kQuadFloats);
  for (std::int64_t at = 0; at < size; ++at) {
    for (std::int64_t i = 0; i < kQuadFloats; ++i) {
      const std::int64_t from = at - i / kQuadLanes * group + i % kQuadLanes;
      quads_.push_back(from < 0 || from >= size ? 0 : values_[static_cast<std::size_t>(from)]);
    }
  }
}

void monotonic_window_attention(const Problem& p, std::int64_t window,
                                const GaussianTable& gaussian, const Inputs& inputs,
                                TensorView output, Workspace& workspace, Executor& executor) {
  const WindowPattern base = monotonic_pattern(p, window);
  const ProblemPattern pattern(p, base);
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(workspace, monotonic_floats(p), executor.threads());
  struct Mine {
    std::vector<KeyRun> runs;
    Upcoming upcoming;
    PreparedPair<LaneTile, PieceIndex> tiles;
  };
  PerThread<Mine> threads(executor.threads());
  const bool look_ahead = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const auto fill = [&](const PieceIndex& at, LaneTile& tile) {
    fill_lane_tile(p, inputs.q, output, at, tile);
  };
  // Neighbouring tiles on one thread: each reads what the last one has brought, and some more.
  share_heads<1>(
      p.batch * p.heads_kv, {tile_count(p)}, executor, [&](const HeadPiece& piece, int slot) {
        Mine& mine = threads[slot];
        const LaneTile& tile = mine.tiles.take(PieceIndex{piece.head, piece.index}, fill);
        mine.upcoming.clear();
        if (look_ahead && piece.next) {
          add_next_tile(p, window, tile, mine.tiles.prepare(*piece.next, fill), inputs,
                        mine.upcoming);
        }
        const std::int64_t b = tile.queries.batch;
        run_monotonic_tile({p, tile, *pattern, shaping.view(), mine.runs, gaussian,
                            inputs.k.row(b, tile.kv_head, 0), inputs.k.stride[2],
                            inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2],
                            scratch[static_cast<std::size_t>(slot)],
                            look_ahead ? &mine.upcoming : nullptr});
      });
}

WindowWork monotonic_window_work(const Problem& p, std::int64_t window, int threads) {
  const WindowPattern base = monotonic_pattern(p, window);
  const ProblemPattern pattern(p, base);
  TileWork work;
  std::vector<KeyRun> runs;
  for_each_distinct_tile(p, [&](const TileQueries& queries, double heads) {
    work.add(wide_tile_work(queries, *pattern, runs, p.dim_v), heads);
  });
  return {.flops = work.flops(p.dim_qk, p.dim_v),
          .exps = work.exps_with(LogitTerms(p)),
          .workspace_bytes = per_thread_bytes(monotonic_floats(p), threads)};
}

}  // namespace attnbench::kernels
