// Products and softmax of a block of keys of which each part of a tile takes a range
// (key_ranges.h), compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_RANGED_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_RANGED_PRODUCTS_INL_H_
#undef ATTNBENCH_KERNELS_RANGED_PRODUCTS_INL_H_
#else
#define ATTNBENCH_KERNELS_RANGED_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/column_softmax-inl.h"
#include "kernels/gemm-inl.h"
#include "kernels/key_ranges.h"
#include "kernels/logit_terms-inl.h"
#include "kernels/op_count.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows of one source from a block's first key on.
struct RowBlock {
  const float* rows;
  std::ptrdiff_t stride;
};

/// The first lane of a column.
HWY_INLINE std::ptrdiff_t column_lane(int column) { return std::ptrdiff_t{column} * kRangeLanes; }

/// Whether a register tile is wider than a column of ranges, so that neighbours share it.
HWY_INLINE bool columns_share_tiles() {
  return kGemmVectors * static_cast<int>(hn::Lanes(hn::ScalableTag<float>())) > kRangeLanes;
}

/// Lanes of a tile's `lanes` in columns [from, to).
HWY_INLINE std::int64_t lanes_between(int from, int to, int lanes) {
  return std::min<std::int64_t>(lanes, column_lane(to)) - column_lane(from);
}

/// Scores S^T[key][lane] = K Q^T of the keys in each column's range; q is [depth][kLaneStride].
HWY_INLINE void scores_in_ranges(const BlockRanges& ranges, int lanes, std::ptrdiff_t columns,
                                 std::ptrdiff_t depth, const RowBlock& k, const float* q,
                                 float* scores, Upcoming* upcoming) {
  const auto product = [&](const KeySpan& keys, int from, int to) {
    const std::ptrdiff_t lane = column_lane(from);
    count_ops(keys.keys() * lanes_between(from, to, lanes) * depth, 0);
    gemm<ALayout::row_major>(keys.keys(), std::min(columns, column_lane(to)) - lane, depth,
                             k.rows + keys.begin * k.stride, k.stride, q + lane, kLaneStride,
                             scores + keys.begin * kLaneStride + lane, kLaneStride, Old::overwrite,
                             nullptr, upcoming);
  };
  if (!columns_share_tiles()) {
    for (int c = 0; c < kRangeColumns; ++c) {
      if (!ranges.column[c].empty()) product(ranges.column[c], c, c + 1);
    }
    return;
  }
  // Between two cuts the same columns take part, side by side in one register tile.
  const RangeCuts cuts(ranges);
  for (int i = 0; i + 1 < cuts.count; ++i) {
    const KeySpan keys{cuts.at[i], cuts.at[i + 1]};
    const auto takes = [&](int c) {
      return ranges.column[c].begin <= keys.begin && keys.end <= ranges.column[c].end;
    };
    for (int from = 0; from < kRangeColumns;) {
      int to = from;
      while (to < kRangeColumns && takes(to)) ++to;
      if (to > from) product(keys, from, to);
      from = to + 1;
    }
  }
}

/// shape_tile() over the keys in each column's range; `positions` are those of the block's keys.
HWY_INLINE void shape_in_ranges(const BlockRanges& ranges, const LogitTerms& terms,
                                const LaneTerms& lane_terms, int lanes, const float* positions,
                                std::ptrdiff_t columns, float* scores) {
  for (int c = 0; c < kRangeColumns; ++c) {
    const KeySpan& keys = ranges.column[c];
    if (keys.empty()) continue;
    shape_tile(terms, lane_terms, range_column_lanes(c, lanes), positions + keys.begin, keys.keys(),
               column_lane(c), std::min(columns, column_lane(c + 1)),
               scores + keys.begin * kLaneStride);
  }
}

/// Calls part(columns, first vector, last vector, keys) for the vectors of every column with keys:
/// `columns` are the tile's from the range's first key on.
template <class Part>
HWY_INLINE void for_each_range(const BlockRanges& ranges, const SoftmaxColumns& t, Part part) {
  for (int c = 0; c < kRangeColumns; ++c) {
    const KeySpan& keys = ranges.column[c];
    if (keys.empty()) continue;
    SoftmaxColumns columns = t;
    columns.scores += keys.begin * kLaneStride;
    part(columns, column_lane(c), std::min(t.columns, column_lane(c + 1)), keys);
  }
}

/// softmax_columns() of a masked block over the keys in each column's range; of a column without
/// keys, nothing changes, nor is its factor set.
template <class Weigh = Unweighted>
HWY_INLINE void softmax_in_ranges(const BlockRanges& ranges, int tile_lanes,
                                  const SoftmaxColumns& t, const std::uint64_t* mask,
                                  const Weigh& weigh = {}) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  HWY_ALIGN float before[kLaneStride];
  for_each_range(
      ranges, t,
      [&](const SoftmaxColumns& part, std::ptrdiff_t at, std::ptrdiff_t end, const KeySpan& keys) {
        count_ops(0, (keys.keys() + 1) * std::min<std::int64_t>(kRangeLanes, tile_lanes - at));
        const auto shifted = [&weigh, first = keys.begin](auto tag, std::ptrdiff_t j,
                                                          std::ptrdiff_t column, auto weight) {
          return weigh(tag, first + j, column, weight);
        };
        for (std::ptrdiff_t i = at; i < end; i += lanes) {
          hn::Store(hn::Load(d, t.maximum + i), d, before + i);
        }
        for (; at + 2 * lanes <= end; at += 2 * lanes) {
          column_maxima<2, true>(part, keys.keys(), mask + keys.begin, at);
          column_weights<2>(part, keys.keys(), before, at, shifted);
        }
        for (; at < end; at += lanes) {
          column_maxima<1, true>(part, keys.keys(), mask + keys.begin, at);
          column_weights<1>(part, keys.keys(), before, at, shifted);
        }
      });
}

/// The maxima of a masked block, whose masked scores become -infinity, over the keys in each
/// column's range.
HWY_INLINE void maxima_in_ranges(const BlockRanges& ranges, const SoftmaxColumns& t,
                                 const std::uint64_t* mask) {
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  for_each_range(
      ranges, t,
      [&](const SoftmaxColumns& part, std::ptrdiff_t at, std::ptrdiff_t end, const KeySpan& keys) {
        for (; at + 2 * lanes <= end; at += 2 * lanes) {
          column_maxima<2, true>(part, keys.keys(), mask + keys.begin, at);
        }
        for (; at < end; at += lanes) {
          column_maxima<1, true>(part, keys.keys(), mask + keys.begin, at);
        }
      });
}

/// Its weights under the maxima of all blocks.
HWY_INLINE void weights_in_ranges(const BlockRanges& ranges, int tile_lanes,
                                  const SoftmaxColumns& t) {
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  for_each_range(
      ranges, t,
      [&](const SoftmaxColumns& part, std::ptrdiff_t at, std::ptrdiff_t end, const KeySpan& keys) {
        count_ops(0, keys.keys() * std::min<std::int64_t>(kRangeLanes, tile_lanes - at));
        for (; at + 2 * lanes <= end; at += 2 * lanes) {
          column_weights<2, false>(part, keys.keys(), nullptr, at, Unweighted());
        }
        for (; at < end; at += lanes) {
          column_weights<1, false>(part, keys.keys(), nullptr, at, Unweighted());
        }
      });
}

/// A tile's output on its way: by rows, [lane][Dv] (Dv a multiple of the vector length), or
/// transposed, [Dv][kLaneStride]. Parts that have seen no key hold nothing yet.
struct RangedOutput {
  float* acc;
  std::ptrdiff_t dim;
  bool by_rows;
  unsigned seen = 0;     ///< Bit by group of rows, or by column.
  bool rescales = true;  ///< What was there shrinks by its lane's factor; otherwise it stays.
};

/// RangedOutput::seen of a tile whose columns have all seen keys.
HWY_INLINE unsigned all_columns(int lanes) {
  return (1U << (lanes + kRangeLanes - 1) / kRangeLanes) - 1;
}

/// O += P V over the keys in each group's range.
HWY_INLINE void values_by_rows(const BlockRanges& ranges, int lanes, const RowBlock& v,
                               const SoftmaxColumns& t, RangedOutput& out, Upcoming* upcoming) {
  const std::ptrdiff_t wide =
      kGemmVectors * static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  unsigned seen = out.seen;
  const Old again = out.rescales ? Old::rescale_rows : Old::accumulate;
  for (std::ptrdiff_t at = 0; at < out.dim; at += wide) {
    for (int g = 0; g < kRowGroups; ++g) {
      const KeySpan& keys = ranges.group[g];
      if (keys.empty()) continue;
      const std::ptrdiff_t lane = row_group_begin(g);
      const bool first = (out.seen >> g & 1U) == 0;
      seen |= 1U << g;
      const std::ptrdiff_t here = std::min(wide, out.dim - at);
      count_ops(std::int64_t{keys.keys()} * row_group_lanes(g, lanes) * here, 0);
      gemm<ALayout::col_major>(
          row_group_lanes(g, lanes), here, keys.keys(), t.scores + keys.begin * kLaneStride + lane,
          kLaneStride, v.rows + keys.begin * v.stride + at, v.stride, out.acc + lane * out.dim + at,
          out.dim, first ? Old::overwrite : again, t.factor + lane, upcoming);
    }
  }
  out.seen = seen;
}

/// O^T += V^T P^T over the keys in each column's range, likewise.
HWY_INLINE void values_by_columns(const BlockRanges& ranges, int lanes, const RowBlock& v,
                                  const SoftmaxColumns& t, RangedOutput& out, Upcoming* upcoming) {
  const auto seen = [&](int c) { return (out.seen >> c & 1U) != 0; };
  const Old again = out.rescales ? Old::rescale : Old::accumulate;
  for (int from = 0, to = 0; from < kRangeColumns; from = to) {
    const KeySpan& keys = ranges.column[from];
    for (to = from + 1;
         to < kRangeColumns && ranges.column[to] == keys && seen(to) == seen(from);) {
      ++to;
    }
    if (keys.empty()) continue;
    const std::ptrdiff_t lane = column_lane(from);
    const std::ptrdiff_t end = std::min(t.columns, column_lane(to));
    count_ops(keys.keys() * lanes_between(from, to, lanes) * out.dim, 0);
    gemm<ALayout::col_major>(out.dim, end - lane, keys.keys(), v.rows + keys.begin * v.stride,
                             v.stride, t.scores + keys.begin * kLaneStride + lane, kLaneStride,
                             out.acc + lane, kLaneStride, seen(from) ? again : Old::overwrite,
                             t.factor + lane, upcoming);
    for (int c = from; c < to; ++c) out.seen |= 1U << c;
  }
}

HWY_INLINE void values_in_ranges(const BlockRanges& ranges, int lanes, const RowBlock& v,
                                 const SoftmaxColumns& t, RangedOutput& out, Upcoming* upcoming) {
  if (out.by_rows) {
    values_by_rows(ranges, lanes, v, t, out, upcoming);
  } else {
    values_by_columns(ranges, lanes, v, t, out, upcoming);
  }
}

/// Zeros where no key was seen.
HWY_INLINE void zero_unseen(int lanes, const RangedOutput& out) {
  if (out.by_rows) {
    for (int g = 0; g < kRowGroups; ++g) {
      if ((out.seen >> g & 1U) != 0) continue;
      std::fill_n(out.acc + row_group_begin(g) * out.dim, row_group_lanes(g, lanes) * out.dim,
                  0.0F);
    }
    return;
  }
  for (int c = 0; range_column_lanes(c, lanes) > 0; ++c) {
    if ((out.seen >> c & 1U) != 0) continue;
    for (std::ptrdiff_t i = 0; i < out.dim; ++i) {
      std::fill_n(out.acc + i * kLaneStride + column_lane(c), kRangeLanes, 0.0F);
    }
  }
}

/// rows[lane] = acc[lane] * factor[lane], or, with `add`, that and rows[lane] * keep[lane]; of
/// `dim` numbers each, a multiple of the vector length.
template <bool add>
HWY_INLINE void merge_rows(const float* acc, const float* factor, const float* keep, int lanes,
                           std::ptrdiff_t dim, float* const* rows) {
  const hn::ScalableTag<float> d;
  const auto step = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  for (int lane = 0; lane < lanes; ++lane) {
    const auto scale = hn::Set(d, factor[lane]);
    const float* from = acc + lane * dim;
    float* to = rows[lane];
    for (std::ptrdiff_t i = 0; i < dim; i += step) {
      auto x = hn::Mul(scale, hn::LoadU(d, from + i));
      if constexpr (add) x = hn::MulAdd(hn::Set(d, keep[lane]), hn::LoadU(d, to + i), x);
      hn::StoreU(x, d, to + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
