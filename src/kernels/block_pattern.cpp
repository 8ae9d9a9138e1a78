#include "kernels/block_pattern.h"

#include <algorithm>
#include <utility>

#include "kernels/masked_pattern.h"
#include "kernels/placed_rows.h"
#include "kernels/query_tiles.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// For tiles of which all queries are in one block row.
class BlockPattern final : public KeyPattern {
 public:
  BlockPattern(const Problem& p, const BlockRows& rows) : p_(p), rows_(rows) {}

  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override {
    const std::int64_t first = tile.first() + p_.diagonal(), last = tile.last() + p_.diagonal();
    const std::int64_t length = p_.key_length(tile.batch);
    const std::int64_t end = p_.causal ? std::min(length, last + 1) : length;
    const std::int64_t unmasked = p_.causal ? std::min(length, first + 1) : length;
    const auto columns = rows_.row(floor_div(first, rows_.block));
    for (std::size_t at = 0; at < columns.size();) {
      // Neighbouring blocks are one run.
      std::size_t next = at + 1;
      while (next < columns.size() && columns[next] == columns[next - 1] + 1) ++next;
      const std::int64_t begin = columns[at] * rows_.block;
      const std::int64_t stop = (columns[next - 1] + 1) * rows_.block;
      add(out, begin, std::min(stop, unmasked), false);
      add(out, std::max(begin, unmasked), std::min(stop, end), true);
      at = next;
    }
  }

  void mask(const TileQueries& tile, int, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override {
    int before = 0;  // Lanes whose position is before key j.
    for (std::int64_t j = begin; j < end; ++j) {
      while (before < tile.lanes && tile.position[before] + p_.diagonal() < j) ++before;
      bits[j - begin] = lane_range(p_.causal ? before : 0, tile.lanes);
    }
  }

 private:
  static void add(std::vector<KeyRun>& out, std::int64_t begin, std::int64_t end, bool masked) {
    if (begin < end) out.push_back({0, begin, end, masked});
  }

  const Problem& p_;
  const BlockRows& rows_;
};

/// Lanes [begin, begin + lanes) of all queries with the heads of their group, heads fastest.
struct BlockTile {
  std::int64_t begin = 0;
  int lanes = 0;
  std::int64_t keys = 0;  ///< That its row reads, at most.
};

PlacedQuery place(std::int64_t query) { return {query, query}; }

/// The tiles of one head, longest first.
std::vector<BlockTile> block_tiles(const Problem& p, const BlockRows& rows) {
  std::vector<BlockTile> tiles;
  std::int64_t query = 0;
  for (std::int64_t r = rows.first_row; query < p.seq_q; ++r) {
    const std::int64_t end = std::min((r + 1) * rows.block - p.diagonal(), p.seq_q);
    std::int64_t keys = 0;
    for (std::int64_t column : rows.row(r)) {
      if (!p.causal || column <= r) keys += std::min(rows.block, p.seq_k - column * rows.block);
    }
    for (std::int64_t lane = query * p.group(); lane < end * p.group(); lane += kTileQueries) {
      tiles.push_back({lane, lanes_until(lane, end * p.group()), keys});
    }
    query = end;
  }
  std::ranges::stable_sort(tiles, std::ranges::greater{}, &BlockTile::keys);
  return tiles;
}

/// A single tile is left to tiled_softmax, which shares its keys out among threads.
bool is_one_tile(const std::vector<BlockTile>& tiles) { return tiles.size() == 1; }

TileWork block_work(const Problem& p, const BlockRows& rows, int threads) {
  const BlockPattern pattern(p, rows);
  const std::vector<BlockTile> tiles = block_tiles(p, rows);
  if (is_one_tile(tiles)) return tiled_softmax_work(p, pattern, threads);
  const ProblemPattern masked(p, pattern);
  TileWork total;
  std::vector<KeyRun> runs;
  for_each_distinct_head(p, [&](std::int64_t b, std::int64_t head, double heads) {
    for (const BlockTile& tile : tiles) {
      TileQueries queries;
      place_lanes(p, {b, head}, tile.begin, tile.lanes, place, queries);
      total.add(tile_work(queries, *masked, runs, p.dim_v), heads);
    }
  });
  return total;
}

class BlockPlan final : public Plan {
 public:
  BlockPlan(const Problem& problem, BlockRows rows)
      : problem_(problem),
        terms_(problem),
        rows_(std::move(rows)),
        pattern_(problem_, rows_),
        masked_(problem_, pattern_),
        modifier_(make_score_modifier(problem_)),
        tiles_(block_tiles(problem_, rows_)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    const Problem& p = problem_;
    if (is_one_tile(tiles_)) {
      const KeySource sources[] = {{inputs.k, inputs.v}};
      return tiled_softmax(
          {p, p.scale_or_default(), sources, pattern_, inputs.q, output, nullptr, terms_.if_any()},
          workspace, executor);
    }
    const TileCall call{p, inputs.q, output, nullptr, terms_.if_any(), modifier_.get()};
    const TileScratch scratch(p, executor.threads(), workspace);
    PerThread<TileSequence> sequences(executor.threads(),
                                      [&](int slot) { return TileSequence(scratch.of(slot)); });
    const auto tiles = static_cast<std::int64_t>(tiles_.size());
    const std::int64_t heads = p.batch * p.heads_kv, all = heads * tiles;
    const auto fill = [&](std::int64_t index, TileJob& job, SourceRows* sources) {
      const HeadIndex at{index / tiles / p.heads_kv, index / tiles % p.heads_kv};
      const BlockTile& tile = tiles_[static_cast<std::size_t>(index % tiles)];
      fill_job(call, at, tile.begin, tile.lanes, place, job);
      sources[0] = source_rows(inputs, at);
      job.sources = {sources, 1};
      job.pattern = &*masked_;
    };
    const bool look_ahead = heads * head_bytes(p) > kNearBytes;
    executor.parallel_for(all, [&](std::int64_t index, int slot) {
      const std::int64_t next = index + executor.threads();
      sequences[slot].run(index, look_ahead && next < all ? next : TileSequence::kNone, fill);
    });
  }

 private:
  Problem problem_;
  LogitTerms terms_;
  BlockRows rows_;
  BlockPattern pattern_;   ///< Refers to the two above,
  ProblemPattern masked_;  ///< and this to it.
  std::unique_ptr<const ScoreModifier> modifier_;
  std::vector<BlockTile> tiles_;
};

}  // namespace

std::int64_t block_count(const Problem& problem, std::int64_t block) {
  return (problem.seq_k + block - 1) / block;
}

BlockRows make_block_rows(const Problem& problem, std::int64_t block, const ColumnsOf& columns_of) {
  BlockRows rows;
  rows.block = block;
  rows.first_row = floor_div(problem.diagonal(), block);
  const std::int64_t last_row = floor_div(problem.seq_k - 1, block);
  const std::int64_t count = block_count(problem, block);
  std::vector<std::int64_t> columns;
  for (std::int64_t r = rows.first_row; r <= last_row; ++r) {
    columns.clear();
    columns_of(r, columns);
    std::ranges::sort(columns);
    columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
    std::ranges::copy_if(columns, std::back_inserter(rows.columns),
                         [&](std::int64_t column) { return column >= 0 && column < count; });
    rows.begin.push_back(static_cast<std::int64_t>(rows.columns.size()));
  }
  return rows;
}

std::unique_ptr<Plan> make_block_plan(const Problem& problem, BlockRows rows) {
  return with_placed_rows(problem, std::make_unique<BlockPlan>(problem, std::move(rows)));
}

Cost block_plan_cost(const Problem& problem, const BlockRows& rows, int threads) {
  const TileWork work = block_work(problem, rows, threads);
  Cost cost;
  cost.performed_flops = work.flops(problem.dim_qk, problem.dim_v);
  cost.exp_count = work.exps_with(LogitTerms(problem));
  cost.min_bytes = compulsory_bytes(problem);
  cost.traffic_bytes = cost.min_bytes;
  cost.useful_flops = dense_flops(problem);
  cost.workspace_bytes =
      is_one_tile(block_tiles(problem, rows))
          ? tiled_softmax_workspace_bytes(problem, BlockPattern(problem, rows), threads)
          : TileScratch::bytes(problem, threads);
  add_placed_rows_cost(problem, cost);
  return cost;
}

}  // namespace attnbench::kernels
