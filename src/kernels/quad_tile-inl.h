// A tile of queries that read few keys, four lanes at a time, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_QUAD_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_QUAD_TILE_INL_H_
#undef ATTNBENCH_KERNELS_QUAD_TILE_INL_H_
#else
#define ATTNBENCH_KERNELS_QUAD_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/key_pattern.h"
#include "kernels/key_ranges.h"
#include "kernels/op_count.h"
#include "kernels/quad_products-inl.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The states of a tile's lanes; missing lanes have one as well.
struct QuadStates {
  HWY_ALIGN float maximum[kTileQueries];
  HWY_ALIGN float sum[kTileQueries];
  HWY_ALIGN float factor[kTileQueries];  ///< By which what was there before the block shrinks.

  /// Where they are, for what starts the states of any tile.
  SoftmaxColumns columns() { return {nullptr, maximum, sum, factor, kTileQueries}; }
};

/// What a tile of one block of keys reads and writes.
struct QuadTileRows {
  const TileQueries& queries;
  const float* const* q;
  float* const* out;
  RowBlock k;  ///< From the block's first key on, as v.
  RowBlock v;
  std::int64_t dim_qk;
  std::int64_t dim_v;
};

/// Does nothing to logits.
struct Unshaped {
  static constexpr bool kShapes = false;
  void operator()(int, const KeySpan&, float*) const {}
};

/// A tile whose keys are the one block of its runs.
class QuadTile {
 public:
  QuadTile(const QuadTileRows& rows, const KeyPattern& pattern, const std::vector<KeyRun>& runs)
      : rows_(rows) {
    BlockCursor(runs, kMostBlockKeys).next(block_);
    ranges_ = block_ranges(pattern, rows.queries, runs, block_, mask_, TileParts::quads);
    const auto keys = block_.end - block_.begin;
    if (!block_.masked) std::fill_n(mask_, keys, ~std::uint64_t{0});
    std::fill_n(mask_ + keys, kQuadKeys, 0);
  }
  const KeyBlock& block() const { return block_; }

  /// Scores and weights, in `scores` (kMostBlockKeys x kTileQueries floats, aligned to 64 bytes).
  /// shape(lane, keys of the block, logits) changes the logits of one lane, a buffer with room for
  /// whole vectors; table(lane, key of the block) says what weights are multiplied with. All of
  /// `upcoming`, or null, is asked for here and in the outputs.
  template <class Shape, class Table>
  HWY_INLINE void weights(float scale, float* scores, QuadStates& states, const Shape& shape,
                          const Table& table, Upcoming* upcoming) {
    start_requests(upcoming);
    if (asks_) {
      weights_asking(scale, scores, states, shape, table, requests_);
    } else {
      NoRequests none;
      weights_asking(scale, scores, states, shape, table, none);
    }
  }

  /// The output rows: scale[lane] times the sums of values.
  HWY_INLINE void outputs(const float* scale) { write_rows<false>(scale, nullptr); }
  /// The same, and keep[lane] times what is there.
  HWY_INLINE void add_outputs(const float* scale, const float* keep) {
    write_rows<true>(scale, keep);
  }

 private:
  template <class Shape, class Table, class Requests>
  HWY_INLINE void weights_asking(float scale, float* scores, QuadStates& states, const Shape& shape,
                                 const Table& table, Requests& requests) {
    const int lanes = rows_.queries.lanes;
    HWY_ALIGN float before[kTileQueries];
    std::copy_n(states.maximum, kTileQueries, before);
    for (int lane = 0; lane < lanes; lane += kQuadLanes) {
      const KeySpan& span = ranges_.quad[lane / kQuadLanes];
      const Quad quad(rows_.q, lane, lanes);
      weights_[lane / kQuadLanes] = scores;
      count_ops(std::int64_t{span.keys()} * quad.lanes * (rows_.dim_qk + rows_.dim_v),
                std::int64_t{span.keys() + 1} * quad.lanes);
      const std::uint64_t* mask = mask_ + span.begin;
      const std::uint64_t* at_once = Shape::kShapes ? nullptr : mask;
      quad_scores(quad, rows_of(rows_.k, span), span.keys(), rows_.dim_qk, scale, at_once, scores,
                  states.maximum + lane, requests);
      if constexpr (Shape::kShapes) {
        shape_quad(quad, span, shape, scores);
        quad_mask(mask, lane, span.keys(), scores, states.maximum + lane);
      }
      scores += std::ptrdiff_t{span.keys() + kQuadKeys - 1} / kQuadKeys * kQuadKeys * kQuadLanes;
    }
    // Only now: a quad's softmax waits for itself, but not for the others'.
    for (int lane = 0; lane < lanes; lane += kQuadLanes) {
      const KeySpan& span = ranges_.quad[lane / kQuadLanes];
      quad_weights(span.keys(), before + lane, states.maximum + lane, weights_[lane / kQuadLanes],
                   states.sum + lane, states.factor + lane, table(lane, span.begin));
    }
  }

  template <bool add>
  HWY_INLINE void write_rows(const float* scale, const float* keep) {
    if (asks_) {
      write_rows_asking<add>(scale, keep, requests_);
    } else {
      NoRequests none;
      write_rows_asking<add>(scale, keep, none);
    }
  }
  template <bool add, class Requests>
  HWY_INLINE void write_rows_asking(const float* scale, const float* keep, Requests& requests) {
    const int lanes = rows_.queries.lanes;
    for (int lane = 0; lane < lanes; lane += kQuadLanes) {
      const KeySpan& span = ranges_.quad[lane / kQuadLanes];
      quad_values<add>(weights_[lane / kQuadLanes], rows_of(rows_.v, span), span.keys(),
                       rows_.dim_v,
                       {rows_.out + lane, std::min(kQuadLanes, lanes - lane), scale + lane,
                        add ? keep + lane : nullptr},
                       requests);
    }
  }

  static RowBlock rows_of(const RowBlock& block, const KeySpan& span) {
    return {block.rows + span.begin * block.stride, block.stride};
  }

  void start_requests(Upcoming* upcoming) {
    asks_ = upcoming != nullptr && upcoming->lines() > 0;
    if (!asks_) return;
    std::int64_t steps = 0;
    for (const KeySpan& span : ranges_.quad) {
      steps += quad_steps(span.keys(), rows_.dim_qk, rows_.dim_v);
    }
    requests_ = PacedRequests(upcoming, steps);
  }

  template <class Shape>
  static void shape_quad(const Quad& quad, const KeySpan& span, const Shape& shape, float* scores) {
    HWY_ALIGN float row[kMostBlockKeys + 16];
    for (int i = 0; i < quad.lanes; ++i) {
      change_lane(i, span.keys(), scores, row,
                  [&](float* logits) { shape(quad.lane + i, span, logits); });
    }
  }

  const QuadTileRows& rows_;
  KeyBlock block_;
  BlockRanges ranges_;
  std::uint64_t mask_[kMostBlockKeys + kQuadKeys];
  float* weights_[kQuads] = {};
  PacedRequests requests_;
  bool asks_ = false;
};

/// scale[lane] = 1 / sum, or 0 where no key was seen.
HWY_INLINE void inverse_sums(const float* sum, float* scale) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  for (int at = 0; at < kTileQueries; at += lanes) {
    const auto s = hn::Load(d, sum + at);
    hn::Store(hn::IfThenElse(hn::Gt(s, zero), hn::Div(hn::Set(d, 1.0F), s), zero), d, scale + at);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
