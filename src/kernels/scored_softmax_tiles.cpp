#include "kernels/scored_softmax_tiles.h"

#include <algorithm>

namespace attnbench::kernels {

namespace {

/// Query i of the head of the group.
void add_query(const Problem& p, ConstTensorView q, TensorView out, std::int64_t i,
               std::int64_t head, LaneTile& tile) {
  const std::int64_t b = tile.queries.batch, h = tile.kv_head * p.group() + head;
  const int at = tile.queries.lanes++;
  tile.queries.position[at] = tile.queries.query[at] = i;
  tile.queries.head[at] = h;
  tile.q_rows[at] = q.row(b, h, i);
  tile.out_rows[at] = out.row(b, h, i);
}

/// Queries [begin, end) of a head that has its keys for itself.
void add_queries(ConstTensorView q, TensorView out, std::int64_t begin, std::int64_t end,
                 LaneTile& tile) {
  const std::int64_t b = tile.queries.batch, h = tile.kv_head;
  const float* q_row = q.row(b, h, begin);
  float* out_row = out.row(b, h, begin);
  const std::int64_t count = end - begin;
  for (std::int64_t lane = 0; lane < count; ++lane) {
    tile.queries.position[lane] = tile.queries.query[lane] = begin + lane;
  }
  std::fill_n(tile.queries.head, count, h);
  for (std::int64_t lane = 0; lane < count; ++lane) {
    tile.q_rows[lane] = q_row + lane * q.stride[2];
    tile.out_rows[lane] = out_row + lane * out.stride[2];
  }
  tile.queries.lanes = static_cast<int>(count);
}

}  // namespace

void add_lane(const Problem& p, ConstTensorView q, TensorView out, std::int64_t lane,
              LaneTile& tile) {
  add_query(p, q, out, lane / p.group(), lane % p.group(), tile);
}

void fill_lane_tile(const Problem& p, ConstTensorView q, TensorView out, const PieceIndex& at,
                    LaneTile& tile) {
  tile.queries.batch = at.head / p.heads_kv;
  tile.kv_head = at.head % p.heads_kv;
  const std::int64_t begin = at.index * kTileQueries;
  const std::int64_t end = std::min(begin + kTileQueries, p.seq_q * p.group());
  tile.queries.lanes = 0;
  if (p.group() == 1) return add_queries(q, out, begin, end, tile);
  std::int64_t query = begin / p.group(), head = begin % p.group();
  for (std::int64_t lane = begin; lane < end; ++lane) {
    add_query(p, q, out, query, head, tile);
    if (++head == p.group()) {
      head = 0;
      ++query;
    }
  }
}

void for_each_lane_tile(const Problem& p, ConstTensorView q, TensorView out, Executor& executor,
                        const std::function<void(LaneTile&, int slot)>& body) {
  const std::int64_t tiles = tile_count(p);
  executor.parallel_for(p.batch * p.heads_kv * tiles, [&](std::int64_t index, int slot) {
    LaneTile work;
    fill_lane_tile(p, q, out, {index / tiles, tiles - 1 - index % tiles}, work);
    body(work, slot);
  });
}

WindowPattern base_pattern(const Problem& p) {
  return {WindowPattern::kUnlimited, p.causal ? 0 : WindowPattern::kUnlimited, p.diagonal(),
          p.seq_k, p.key_lengths};
}

std::vector<float*> take_per_thread(Workspace& workspace, std::size_t floats, int threads) {
  std::vector<float*> blocks;
  for (int slot = 0; slot < threads; ++slot) blocks.push_back(workspace.take(floats));
  return blocks;
}

TileVisits count_visits(const Problem& p, const KeyPattern& pattern) {
  TileVisits visits;
  std::vector<KeyRun> runs;
  for_each_distinct_tile(p, [&](const TileQueries& queries, double heads) {
    runs.clear();
    pattern.runs(queries, runs);
    const BlockCount all = BlockCursor::count(runs);
    visits.pairs += static_cast<double>(all.keys * queries.lanes) * heads;
    visits.lane_blocks += static_cast<double>(all.blocks * queries.lanes) * heads;
  });
  return visits;
}

}  // namespace attnbench::kernels
