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
#include <vector>

#include "kernels/column_softmax-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/op_count.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/tile_state-inl.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"
#include "kernels/upcoming.h"

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

  void run() {
    for (std::size_t i = 0; i < blocks_.size(); ++i) scores(i);
    finish_maxima();
    for (std::size_t i = blocks_.size(); i-- > 0;) weighted_values(i);
    zero_unseen(job_.queries.lanes, out_);
    store_result(job_, t_, out_.by_rows);
  }

 private:
  SoftmaxColumns columns_at(const KeyBlock& block) const {
    SoftmaxColumns columns = t_;
    columns.scores = job_.matrix + block.begin * kLanes;
    return columns;
  }

  RowBlock keys(const KeyBlock& block) const {
    const SourceRows& source = job_.sources[0];
    return {source.k + block.begin * source.k_stride, source.k_stride};
  }
  RowBlock values(const KeyBlock& block) const {
    const SourceRows& source = job_.sources[0];
    return {source.v + block.begin * source.v_stride, source.v_stride};
  }

  /// Begins a list of what is asked for during the products of `now`, of so many numbers a pair;
  /// null where nothing is. What a pass over the panel needs next is its own part of the panel and
  /// the rows that it is multiplied with.
  Upcoming* ask_for(const KeyBlock& next, const RowBlock& rows, std::int64_t dim, bool panel,
                    const KeyBlock& now, std::int64_t numbers) {
    Upcoming* upcoming = job_.upcoming;
    if (upcoming == nullptr) return nullptr;
    const std::int64_t count = next.end - next.begin;
    upcoming->clear();
    upcoming->add_rows(rows.rows, rows.stride, count, dim);
    if (panel) upcoming->add(columns_at(next).scores, count * kLanes);
    upcoming->spread_over(static_cast<double>((now.end - now.begin) * t_.columns * numbers));
    return upcoming;
  }
  /// During the scores of a block: the next one's keys, and after the last one its values.
  Upcoming* ask_after_scores(std::size_t i) {
    const bool last = i + 1 == blocks_.size();
    const KeyBlock& next = blocks_[last ? i : i + 1];
    return last ? ask_for(next, values(next), job_.dim_v, false, blocks_[i], job_.dim_qk)
                : ask_for(next, keys(next), job_.dim_qk, true, blocks_[i], job_.dim_qk);
  }
  /// During the values of a block: those of the one before it.
  Upcoming* ask_after_values(std::size_t i) {
    if (i == 0) return nullptr;
    const KeyBlock& next = blocks_[i - 1];
    return ask_for(next, values(next), job_.dim_v, true, blocks_[i], job_.dim_v);
  }

  /// A block of scores, and the maxima so far.
  void scores(std::size_t i) {
    const KeyBlock& block = blocks_[i];
    const int lanes = job_.queries.lanes;
    TileBuffers t = t_;
    t.scores = columns_at(block).scores;
    std::uint64_t mask[kMostBlockKeys];
    const BlockRanges ranges = block_ranges(*job_.pattern, job_.queries, *job_.runs, block, mask);
    ranges_.push_back(ranges);
    scores_in_ranges(ranges, lanes, t.columns, job_.dim_qk, keys(block), t.q, t.scores,
                     ask_after_scores(i));
    if (terms_) shape_block(job_, t, *terms_, block, ranges);
    if (job_.modifier != nullptr) modify_block(job_, block, t.scores);
    if (block.masked) {
      maxima_in_ranges(ranges, t, mask);
    } else {
      maxima_of_columns<false>(t, block.end - block.begin, nullptr);
    }
  }

  /// Sums that begin with a sink are of its maximum.
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

  /// The weights of a block, and what they add to the output.
  void weighted_values(std::size_t i) {
    const KeyBlock& block = blocks_[i];
    const SoftmaxColumns columns = columns_at(block);
    const int lanes = job_.queries.lanes;
    if (block.masked) {
      weights_in_ranges(ranges_[i], lanes, columns);
    } else {
      weights_of_columns<false>(columns, block.end - block.begin, nullptr);
      count_ops(0, (block.end - block.begin) * lanes);
    }
    values_in_ranges(ranges_[i], lanes, values(block), columns, out_, ask_after_values(i));
  }

  TileJob& job_;
  TileBuffers t_;
  std::optional<LaneTerms> terms_;
  std::vector<KeyBlock> blocks_;
  std::vector<BlockRanges> ranges_;
  RangedOutput out_{};
  HWY_ALIGN float sink_[kLanes];
};

}  // namespace

void run_materialised_entry(TileJob& job) { MaterialisedTile(job).run(); }

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
#include "kernels/tile_sequence.h"

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

/// Whether panels ask for what they go over ahead of time: where caches do not keep the call.
bool panels_ask(const Problem& p) {
  const std::int64_t panel = panel_floats(p.seq_k, kTileQueries) * sizeof(float);
  return p.batch * p.heads_kv * head_bytes(p) + panel > kNearBytesOfAllKeys;
}

/// What a thread keeps from panel to panel.
struct PanelScratch {
  std::vector<KeyRun> runs;
  Upcoming upcoming;
};

/// As many as threads, or all there are.
std::int64_t heads_in_flight(const Problem& p, int threads) {
  return std::min<std::int64_t>(p.batch * p.heads_kv, threads);
}

}  // namespace

void run_panel(TileJob& job) {
  if (job.queries.lanes <= kNarrowLanes) return run_narrow_tile(job);
  HWY_DYNAMIC_DISPATCH(run_materialised_entry)(job);
}

std::size_t materialised_softmax_workspace_bytes(const Problem& grouped, int threads) {
  const Problem p = in_panels(grouped, threads);
  return static_cast<std::size_t>(heads_in_flight(p, threads)) *
             workspace_take_bytes(matrix_floats(p)) +
         static_cast<std::size_t>(threads) *
             workspace_take_bytes(tile_state_floats(p.dim_qk, p.dim_v));
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
  const auto scratch =
      take_per_thread(workspace, tile_state_floats(p.dim_qk, p.dim_v), executor.threads());
  PerThread<PanelScratch> mine(executor.threads());
  const bool ask = panels_ask(p);
  const WindowPattern base = base_pattern(p);
  const ProblemPattern pattern(p, base);
  const auto modifier = make_score_modifier(p);
  const TileCall call{p, inputs.q, output, nullptr, terms.if_any(), modifier.get()};
  const auto in_order = [](std::int64_t n) { return PlacedQuery{n, n}; };
  const std::int64_t heads = p.batch * p.heads_kv, panels = tile_count(p);
  const std::int64_t per_kv_head = p.heads_kv / grouped.heads_kv;
  share_heads<1>(heads, {panels}, executor, [&](const HeadPiece& piece, int slot) {
    const HeadIndex at{piece.head / p.heads_kv, piece.head % p.heads_kv};
    const std::int64_t begin = piece.index * kTileQueries;
    const SourceRows source = source_rows(inputs, {at.batch, at.head / per_kv_head});
    TileJob job;
    fill_job(call, at, begin, lanes_until(begin, p.seq_q * p.group()), in_order, job);
    job.scale = scale;
    job.sources = {&source, 1};
    job.pattern = &*pattern;
    const std::int64_t owner = matrices == heads ? piece.head : piece.owner;
    job.matrix = matrix[static_cast<std::size_t>(owner)] + begin * p.seq_k;
    job.matrix_keys = p.seq_k;
    job.scratch = scratch[static_cast<std::size_t>(slot)];
    job.runs = &mine[slot].runs;
    if (ask) job.upcoming = &mine[slot].upcoming;
    run_panel(job);
  });
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
