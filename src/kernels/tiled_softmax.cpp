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
#include <utility>

#include "kernels/column_softmax-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/narrow_tile.h"
#include "kernels/op_count.h"
#include "kernels/quad_tile.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/tile_state-inl.h"
#include "kernels/tile_strip.h"
#include "kernels/tiled_softmax.h"
#include "kernels/transpose-inl.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

/// Scores, softmax and weighted values of a block that every lane reads, where the output is
/// transposed and all of its columns have seen keys or none has.
void whole_block(const TileJob& job, const TileBuffers& t, const LaneTerms* terms,
                 const KeyBlock& block, RangedOutput& out, Upcoming* upcoming) {
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  const std::int64_t begin = block.begin;
  const std::ptrdiff_t keys = block.end - begin;
  const int lanes = job.queries.lanes;
  gemm<ALayout::row_major>(keys, t.columns, job.dim_qk, source.k + begin * source.k_stride,
                           source.k_stride, t.q, kLanes, t.scores, kLanes, Old::overwrite, nullptr,
                           upcoming);
  if (terms != nullptr) {
    shape_block(job, t, *terms, block, block_ranges(nullptr, static_cast<int>(keys), lanes));
  }
  if (job.modifier != nullptr) modify_block(job, block, t.scores);
  softmax_columns(t, keys);
  gemm<ALayout::col_major>(job.dim_v, t.columns, keys, source.v + begin * source.v_stride,
                           source.v_stride, t.scores, kLanes, t.acc, kLanes,
                           out.seen == 0 ? Old::overwrite : Old::rescale, t.factor, upcoming);
  out.seen = all_columns(lanes);
  count_ops(keys * lanes * (job.dim_qk + job.dim_v), keys * lanes + lanes);
}

/// The same of any block.
void key_block(const TileJob& job, const TileBuffers& t, const LaneTerms* terms,
               const KeyBlock& block, RangedOutput& out, Upcoming* upcoming) {
  const int lanes = job.queries.lanes;
  const bool all_or_none = out.seen == 0 || out.seen == all_columns(lanes);
  if (!block.masked && !out.by_rows && all_or_none) {
    return whole_block(job, t, terms, block, out, upcoming);
  }
  const SourceRows& source = job.sources[static_cast<std::size_t>(block.source)];
  const std::int64_t begin = block.begin;
  std::uint64_t mask[kMostBlockKeys];
  const BlockRanges ranges = block_ranges(*job.pattern, job.queries, *job.runs, block, mask);
  scores_in_ranges(ranges, lanes, t.columns, job.dim_qk,
                   {source.k + begin * source.k_stride, source.k_stride}, t.q, t.scores, upcoming);
  if (terms != nullptr) shape_block(job, t, *terms, block, ranges);
  if (job.modifier != nullptr) modify_block(job, block, t.scores);
  if (block.masked) {
    softmax_in_ranges(ranges, lanes, t, mask);
  } else {
    softmax_columns(t, block.end - begin);
    count_ops(0, (block.end - begin + 1) * lanes);
  }
  values_in_ranges(ranges, lanes, {source.v + begin * source.v_stride, source.v_stride}, t, out,
                   upcoming);
}

/// Tiles of at most so many lanes do too little for each row of keys and values for hardware
/// prefetching to keep up. Where the rows are far and many, they ask for the next block's while
/// they compute one.
constexpr std::ptrdiff_t kFewColumns = 32;
constexpr std::int64_t kManyKeys = std::int64_t{8} * kKeyBlock;
/// With AVX2, full tiles that read more than this ask as well: a block's rows are read during a
/// quarter of its products, those of the first columns, and beyond the share of the last-level
/// cache that one process gets they arrive late. AVX-512 reads them during all of its products.
constexpr std::int64_t kFarRowBytes = std::int64_t{6} << 20;
constexpr bool kFullTilesAsk = HWY_TARGET > HWY_AVX3;

bool asks_for_blocks(const TileJob& job, std::ptrdiff_t columns) {
  // What it brings, the head's other tiles find in the core's own cache.
  if (job.first_of_head) return true;
  if (!job.far) return false;
  std::int64_t keys = 0;
  for (const KeyRun& run : *job.runs) keys += run.end - run.begin;
  if (columns <= kFewColumns) return keys > kManyKeys;
  return kFullTilesAsk &&
         keys * (job.dim_qk + job.dim_v) * static_cast<std::int64_t>(sizeof(float)) > kFarRowBytes;
}

/// Asks for the rows of `next` during the products of `now`.
void ask_for(const TileJob& job, const KeyBlock& next, const KeyBlock& now, std::ptrdiff_t columns,
             Upcoming& upcoming) {
  upcoming.clear();
  const SourceRows& source = job.sources[static_cast<std::size_t>(next.source)];
  const std::int64_t keys = next.end - next.begin;
  upcoming.add_rows(source.k + next.begin * source.k_stride, source.k_stride, keys, job.dim_qk);
  upcoming.add_rows(source.v + next.begin * source.v_stride, source.v_stride, keys, job.dim_v);
  upcoming.spread_over(static_cast<double>((now.end - now.begin) * columns) *
                       static_cast<double>(job.dim_qk + job.dim_v));
}

/// A tile on its way through its blocks of keys.
class RunningTile {
 public:
  /// Packs the queries and lists the keys; `scores` are where blocks of scores go.
  void start(TileJob& job, float* scores) {
    job_ = &job;
    t_ = lay_out(job);
    if (scores != nullptr) t_.scores = scores;
    pack_transposed(job.q_rows, job.queries.lanes, t_.columns, job.dim_qk,
                    static_cast<float>(job.scale * std::numbers::log2e), t_.q, kLanes);
    start_state(job, t_);
    if (job.terms != nullptr && job.terms->shape_logits()) terms_.emplace(*job.terms, job.queries);
    list_runs(job);
    out_ = {t_.acc, job.dim_v, output_by_rows(*job.runs, job.queries.lanes, job.dim_v)};
    blocks_.emplace(*job.runs, block_keys(out_.by_rows));
    more_ = blocks_->next(block_);
  }
  bool more() const { return more_; }
  const KeyBlock& block() const { return block_; }
  /// The block after the next one, if there is one.
  bool peek(KeyBlock& block) const { return BlockCursor(*blocks_).next(block); }
  void step(Upcoming* upcoming) {
    key_block(*job_, t_, terms_ ? &*terms_ : nullptr, block_, out_, upcoming);
    more_ = blocks_->next(block_);
  }
  void finish() {
    zero_unseen(job_->queries.lanes, out_);
    store_result(*job_, t_, out_.by_rows);
  }
  const TileBuffers& buffers() const { return t_; }

 private:
  TileJob* job_ = nullptr;
  TileBuffers t_{};
  RangedOutput out_{};
  std::optional<LaneTerms> terms_;
  std::optional<BlockCursor> blocks_;
  KeyBlock block_;
  bool more_ = false;
};

void run_tile_target(TileJob& job) {
  RunningTile tile;
  tile.start(job, nullptr);
  const std::ptrdiff_t columns = tile.buffers().columns;
  const bool asks = asks_for_blocks(job, columns);
  Upcoming next_block;
  for (KeyBlock next; tile.more();) {
    const bool ask = asks && tile.peek(next);
    if (ask) ask_for(job, next, tile.block(), columns, next_block);
    tile.step(ask ? &next_block : job.upcoming);
  }
  if (job.upcoming != nullptr) job.upcoming->rest();
  tile.finish();
}

/// The next stripe of a strip: keys of one source that all of its tiles are to go over before any
/// of them goes on.
struct Stripe {
  int source = 0;
  std::int64_t end = 0;
  std::int64_t blocks = 0;  // Of all tiles, about.

  bool has_next_of(const RunningTile& tile) const {
    return tile.more() && tile.block().source == source && tile.block().begin < end;
  }
};

/// The stripe of the first keys that a tile has not seen, or false when there are none left.
bool next_stripe(std::span<const RunningTile> tiles, std::int64_t keys, Stripe& stripe) {
  const KeyBlock* least = nullptr;
  for (const RunningTile& tile : tiles) {
    if (!tile.more()) continue;
    const KeyBlock& block = tile.block();
    if (least == nullptr || block.source < least->source ||
        (block.source == least->source && block.begin < least->begin)) {
      least = &block;
    }
  }
  if (least == nullptr) return false;
  stripe = {least->source, least->begin + keys, 0};
  for (const RunningTile& tile : tiles) {
    if (stripe.has_next_of(tile)) stripe.blocks += keys / kKeyBlock;
  }
  return true;
}

void run_strip_target(std::span<TileJob> jobs, Upcoming* next) {
  RunningTile running[kMostStripTiles];
  const std::span<RunningTile> tiles(running, jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    tiles[i].start(jobs[i], i == 0 ? nullptr : tiles[0].buffers().scores);
  }
  const std::int64_t keys = stripe_keys(jobs[0].dim_qk, jobs[0].dim_v);
  const auto key_work =
      static_cast<double>(tiles[0].buffers().columns * (jobs[0].dim_qk + jobs[0].dim_v));
  Upcoming ahead;
  for (Stripe stripe; next_stripe(tiles, keys, stripe);) {
    ahead.clear();
    add_keys_of_any(jobs, stripe.source, stripe.end, stripe.end + keys, ahead);
    Upcoming* upcoming = &ahead;
    if (ahead.lines() == 0 && next != nullptr) upcoming = std::exchange(next, nullptr);
    upcoming->spread_over(static_cast<double>(stripe.blocks * kKeyBlock) * key_work);
    for (RunningTile& tile : tiles) {
      while (stripe.has_next_of(tile)) tile.step(upcoming);
    }
  }
  for (RunningTile& tile : tiles) tile.finish();
}

}  // namespace

void run_tile_entry(TileJob& job) { run_tile_target(job); }
void run_strip_entry(std::span<TileJob> jobs, Upcoming* next) { run_strip_target(jobs, next); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnbench::kernels {
namespace {
HWY_EXPORT(run_tile_entry);
HWY_EXPORT(run_strip_entry);
}  // namespace

void run_tile(TileJob& job) {
  if (job.queries.lanes <= kNarrowLanes) return run_narrow_tile(job);
  list_runs(job);
  if (reads_in_quads(*job.pattern, *job.runs)) return run_quad_tile(job);
  HWY_DYNAMIC_DISPATCH(run_tile_entry)(job);
}

void run_strip(std::span<TileJob> jobs, Upcoming* next) {
  // A last tile of few lanes shares no key with the others in its way of reading.
  if (jobs[0].queries.lanes <= kNarrowLanes) {
    run_narrow_tile(jobs[0]);
    if (jobs.size() == 1) return;
    jobs[1].scratch = jobs[0].scratch;
    jobs = jobs.subspan(1);
  }
  HWY_DYNAMIC_DISPATCH(run_strip_entry)(jobs, next);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
