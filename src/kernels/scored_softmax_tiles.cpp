#include "kernels/scored_softmax_tiles.h"

namespace attnbench::kernels {

void for_each_lane_tile(const Problem& p, int width, ConstTensorView q, TensorView out,
                        Executor& executor, const std::function<void(LaneTile&, int slot)>& body) {
  const std::int64_t tiles = tile_count(p, width);
  executor.parallel_for(p.batch * p.heads_kv * tiles, [&](std::int64_t index, int slot) {
    const std::int64_t tile = tiles - 1 - index % tiles;
    const std::int64_t b = index / tiles / p.heads_kv;
    LaneTile work;
    work.kv_head = index / tiles % p.heads_kv;
    tile_lanes(p, width, tile, b, work.kv_head, work.queries);
    for (int lane = 0; lane < work.queries.lanes; ++lane) {
      const std::int64_t h = work.queries.head[lane], i = work.queries.query[lane];
      work.q_rows[lane] = q.row(b, h, i);
      work.out_rows[lane] = out.row(b, h, i);
      work.row[lane] = (b * p.heads_q + h) * p.seq_q + i;
    }
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
  const int width = pattern.tile_queries(p.group());
  for_each_distinct_head(p, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t tile = 0; tile < tile_count(p, width); ++tile) {
      TileQueries queries;
      tile_lanes(p, width, tile, b, head, queries);
      runs.clear();
      pattern.runs(queries, runs);
      for (const KeyRun& run : runs) {
        const std::int64_t keys = run.end - run.begin;
        const std::int64_t blocks = (keys + kKeyBlock - 1) / kKeyBlock;
        visits.pairs += static_cast<double>(keys * queries.lanes) * heads;
        visits.lane_blocks += static_cast<double>(blocks * queries.lanes) * heads;
      }
    }
  });
  return visits;
}

}  // namespace attnbench::kernels
