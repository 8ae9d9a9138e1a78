#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/materialised_softmax.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include "kernels/column_softmax-inl.h"
#include "kernels/core_kind.h"
#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/op_count.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/tile_state-inl.h"
#include "kernels/tile_strip.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// A tile whose scores all stay in its panel of the matrix.
class MaterialisedTile {
 public:
  explicit MaterialisedTile(TileJob& job) : job_(job), t_(lay_out(job)) {
    pack_transposed(job.q_rows, job.queries.lanes, t_.columns, job.dim_qk,
                    static_cast<float>(job.scale * std::numbers::log2e), t_.q, kLanes);
    start_state(job, t_);
    std::copy_n(t_.maximum, kLanes, sink_);
    if (job.terms != nullptr && job.terms->shape_logits()) terms_.emplace(*job.terms, job.queries);
    list_runs(job);
    out_ = {t_.acc, job.dim_v, output_by_rows(*job.runs, job.queries.lanes, job.dim_v)};
    blocks_ = all_blocks(*job.runs, block_keys(out_.by_rows));
    out_.rescales = false;
  }

  /// The scores of its blocks that begin before key `end`, and their maxima. Whether any are left.
  bool scores_before(std::int64_t end) {
    while (done_ < blocks_.size() && blocks_[done_].begin < end) scores(blocks_[done_++]);
    return done_ < blocks_.size();
  }

  /// Sums that begin with a sink are of its maximum. All scores are there.
  void finish_maxima() {
    if (job_.terms == nullptr || job_.terms->sink.empty()) return;
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
    const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
    for (std::ptrdiff_t at = 0; at < t_.columns; at += lanes) {
      const auto maximum = hn::Load(d, t_.maximum + at);
      // Where neither a sink nor a key was seen: (-inf) - (-inf) must not be formed.
      const auto shift = hn::IfThenZeroElse(hn::Eq(maximum, none), maximum);
      const auto factor = exp2_nonpositive(d, hn::Sub(hn::Load(d, sink_ + at), shift));
      hn::Store(hn::Mul(factor, hn::Load(d, t_.sum + at)), d, t_.sum + at);
    }
    count_ops(0, job_.queries.lanes);
  }

  /// The weights of its blocks that begin at key `begin` or later, from the last one on, and what
  /// they add to the output.
  void values_from(std::int64_t begin) {
    while (done_ > 0 && blocks_[done_ - 1].begin >= begin) {
      --done_;
      weighted_values(blocks_[done_], ranges_[done_]);
    }
  }

  void finish() {
    zero_unseen(job_.queries.lanes, out_);
    store_result(job_, t_, out_.by_rows);
  }

 private:
  SoftmaxColumns columns_at(const KeyBlock& block) const {
    SoftmaxColumns columns = t_;
    columns.scores = job_.matrix + block.begin * kLanes;
    return columns;
  }

  /// A block of scores, and the maxima so far.
  void scores(const KeyBlock& block) {
    const SourceRows& source = job_.sources[0];
    const RowBlock k{source.k + block.begin * source.k_stride, source.k_stride};
    const int lanes = job_.queries.lanes;
    TileBuffers t = t_;
    t.scores = columns_at(block).scores;
    std::uint64_t mask[kMostBlockKeys];
    const BlockRanges ranges = block_ranges(*job_.pattern, job_.queries, *job_.runs, block, mask);
    ranges_.push_back(ranges);
    scores_in_ranges(ranges, lanes, t.columns, job_.dim_qk, k, t.q, t.scores, nullptr);
    if (terms_) shape_block(job_, t, *terms_, block, ranges);
    if (job_.modifier != nullptr) modify_block(job_, block, t.scores);
    if (block.masked) {
      maxima_in_ranges(ranges, t, mask);
    } else {
      maxima_of_columns<false>(t, block.end - block.begin, nullptr);
    }
  }

  /// The weights of a block, and what they add to the output.
  void weighted_values(const KeyBlock& block, const BlockRanges& ranges) {
    const SourceRows& source = job_.sources[0];
    const SoftmaxColumns columns = columns_at(block);
    const int lanes = job_.queries.lanes;
    if (block.masked) {
      weights_in_ranges(ranges, lanes, columns);
    } else {
      weights_of_columns<false>(columns, block.end - block.begin, nullptr);
      count_ops(0, (block.end - block.begin) * lanes);
    }
    values_in_ranges(ranges, lanes, {source.v + block.begin * source.v_stride, source.v_stride},
                     columns, out_, nullptr);
  }

  TileJob& job_;
  TileBuffers t_;
  std::optional<LaneTerms> terms_;
  std::vector<KeyBlock> blocks_;
  std::vector<BlockRanges> ranges_;
  RangedOutput out_{};
  std::size_t done_ = 0;  // Blocks with scores, then blocks still without values.
  HWY_ALIGN float sink_[kLanes];
};

}  // namespace

void run_materialised_entry(std::span<TileJob> jobs) {
  std::optional<MaterialisedTile> tiles[kMostStripTiles];
  for (std::size_t i = 0; i < jobs.size(); ++i) tiles[i].emplace(jobs[i]);
  const std::span<std::optional<MaterialisedTile>> all(tiles, jobs.size());
  // Each key block for all tiles, so that it comes from far once for them.
  std::int64_t end = 0;
  for (bool left = true; left;) {
    end += kKeyBlock;
    left = false;
    for (auto& tile : all) left |= tile->scores_before(end);
  }
  for (auto& tile : all) tile->finish_maxima();
  while (end > 0) {
    end -= kKeyBlock;
    for (auto& tile : all) tile->values_from(end);
  }
  for (auto& tile : all) tile->finish();
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/key_ranges.h"
#include "kernels/masked_pattern.h"
#include "kernels/materialised_softmax.h"
#include "kernels/narrow_tile.h"
#include "kernels/per_thread.h"
#include "kernels/query_tiles.h"
#include "kernels/scored_softmax_tiles.h"
#include "kernels/shared_heads.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(run_materialised_entry);

/// The problem as its engine sees it: every query head has keys and values of its own, except that
/// the heads of a group are lanes of one panel, and read keys and values together, as far as they
/// fit into it and leave every thread some.
Problem in_panels(const Problem& p, int threads) {
  Problem each = p;
  const auto shared = [&] {
    return p.heads_q % each.heads_kv == 0 && p.seq_q * each.group() <= kTileQueries &&
           p.batch * each.heads_kv >= threads;
  };
  while (each.heads_kv < p.heads_q && !shared()) each.heads_kv += p.heads_kv;
  return each;
}

/// Floats of the panel of `lanes` queries.
std::int64_t panel_floats(std::int64_t keys, std::int64_t lanes) {
  return lanes <= kNarrowLanes ? lanes * narrow_matrix_stride(keys) : keys * kTileQueries;
}

std::size_t matrix_floats(const Problem& p) {
  const std::int64_t lanes = p.seq_q * p.group();
  const std::int64_t whole = lanes / kTileQueries, left = lanes % kTileQueries;
  return static_cast<std::size_t>(whole * panel_floats(p.seq_k, kTileQueries) +
                                  panel_floats(p.seq_k, left));
}

/// As many as threads, or all there are.
std::int64_t heads_in_flight(const Problem& p, int threads) {
  return std::min<std::int64_t>(p.batch * p.heads_kv, threads);
}

/// Panels of a head that go over their keys together: where a core's share of the last-level cache
/// may not hold these, so that they come from memory for every panel, and a core's own cache keeps
/// little of a panel's scores from one pass to the other anyway. Otherwise one by one, as a panel's
/// scores then come from nearer than those of several.
int panels_together(const Problem& p, int threads) {
  constexpr std::int64_t kFarKeyBytes = std::int64_t{8} << 20;
  constexpr std::int64_t kFarScores = 3;  // Times the core's own cache.
  const std::int64_t row_bytes = sizeof(float) * (p.dim_qk + p.dim_v);
  const std::int64_t panel_bytes = std::int64_t{sizeof(float)} * kTileQueries * p.seq_k;
  if (p.seq_k * row_bytes < kFarKeyBytes) return 1;
  if (panel_bytes < kFarScores * core_cache_bytes()) return 1;
  const WindowPattern base = base_pattern(p);
  return strip_tiles(p, *ProblemPattern(p, base), threads);
}

/// Floats of the queries, outputs and running states of panels that go together.
std::size_t states_floats(const Problem& p, int threads) {
  return static_cast<std::size_t>(panels_together(p, threads)) *
         tile_state_floats(p.dim_qk, p.dim_v);
}

}  // namespace

void run_panels(std::span<TileJob> jobs) {
  if (jobs.back().queries.lanes <= kNarrowLanes) {
    run_narrow_tile(jobs.back());
    jobs = jobs.first(jobs.size() - 1);
  }
  if (!jobs.empty()) HWY_DYNAMIC_DISPATCH(run_materialised_entry)(jobs);
}

std::size_t materialised_softmax_workspace_bytes(const Problem& grouped, int threads) {
  const Problem p = in_panels(grouped, threads);
  return static_cast<std::size_t>(heads_in_flight(p, threads)) *
             workspace_take_bytes(matrix_floats(p)) +
         static_cast<std::size_t>(threads) * workspace_take_bytes(states_floats(p, threads));
}

TileWork materialised_softmax_work(const Problem& grouped, int threads) {
  const Problem p = in_panels(grouped, threads);
  const WindowPattern base = base_pattern(p);
  const ProblemPattern pattern(p, base);
  TileWork work;
  std::vector<KeyRun> runs;
  for_each_distinct_tile(p, [&](const TileQueries& queries, double heads) {
    const bool narrow = queries.lanes <= kNarrowLanes;
    TileWork tile = narrow ? tile_work(queries, *pattern, runs, p.dim_v)
                           : wide_tile_work(queries, *pattern, runs, p.dim_v);
    const bool rescales = narrow ? tile.pairs > 0 : !p.sink.empty();
    tile.exps = tile.pairs + (rescales ? queries.lanes : 0);
    work.add(tile, heads);
  });
  return work;
}

void materialised_softmax(const Problem& grouped, double scale, const LogitTerms& terms,
                          const Inputs& inputs, TensorView output, Workspace& workspace,
                          Executor& executor) {
  const Problem p = in_panels(grouped, executor.threads());
  const std::int64_t matrices = heads_in_flight(p, executor.threads());
  std::vector<float*> matrix;
  for (std::int64_t m = 0; m < matrices; ++m) matrix.push_back(workspace.take(matrix_floats(p)));
  const int together = panels_together(p, executor.threads());
  const auto scratch =
      take_per_thread(workspace, states_floats(p, executor.threads()), executor.threads());
  PerThread<TileStrip> strips(executor.threads());
  const WindowPattern base = base_pattern(p);
  const ProblemPattern pattern(p, base);
  const auto modifier = make_score_modifier(p);
  const TileCall call{p, inputs.q, output, nullptr, terms.if_any(), modifier.get()};
  const auto in_order = [](std::int64_t n) { return PlacedQuery{n, n}; };
  const std::int64_t heads = p.batch * p.heads_kv, panels = tile_count(p);
  const std::int64_t per_kv_head = p.heads_kv / grouped.heads_kv;
  share_heads<1>(
      heads, {(panels + together - 1) / together}, executor, [&](const HeadPiece& piece, int slot) {
        const HeadIndex at{piece.head / p.heads_kv, piece.head % p.heads_kv};
        const std::int64_t owner = matrices == heads ? piece.head : piece.owner;
        const std::int64_t first = piece.index * together;
        TileStrip& strip = strips[slot];
        strip.count = static_cast<int>(std::min<std::int64_t>(together, panels - first));
        strip.sources[0] = source_rows(inputs, {at.batch, at.head / per_kv_head});
        for (int i = 0; i < strip.count; ++i) {
          const std::int64_t begin = (first + i) * kTileQueries;
          TileJob& job = strip.jobs[i];
          job = TileJob{};
          fill_job(call, at, begin, lanes_until(begin, p.seq_q * p.group()), in_order, job);
          job.scale = scale;
          job.sources = {strip.sources, 1};
          job.pattern = &*pattern;
          job.matrix = matrix[static_cast<std::size_t>(owner)] + begin * p.seq_k;
          job.matrix_keys = p.seq_k;
          job.scratch = scratch[static_cast<std::size_t>(slot)] +
                        static_cast<std::size_t>(i) * tile_state_floats(p.dim_qk, p.dim_v);
          job.runs = &strip.runs[i];
        }
        run_panels(strip.all());
      });
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
