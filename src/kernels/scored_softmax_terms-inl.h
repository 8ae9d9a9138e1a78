// What a problem does to logits between the score and the softmax, for engines whose scores are no
// one matrix product, compiled once per instruction set. The order: soft cap, ALiBi's bias, the
// values of an additive mask; then masks, and the sink in the softmax's sum. Keys are consecutive.

#if defined(ATTNBENCH_KERNELS_SCORED_SOFTMAX_TERMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_SCORED_SOFTMAX_TERMS_INL_H_
#undef ATTNBENCH_KERNELS_SCORED_SOFTMAX_TERMS_INL_H_
#else
#define ATTNBENCH_KERNELS_SCORED_SOFTMAX_TERMS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "kernels/logit_terms-inl.h"
#include "kernels/op_count.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/scored_softmax-inl.h"
#include "kernels/scored_softmax_tiles.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The terms of one tile. Refers to its arguments.
class TileTerms {
 public:
  TileTerms(const LogitShaping& shaping, const TileQueries& queries)
      : shaping_(shaping), queries_(queries) {
    const LogitTerms* terms = shaping.terms;
    if (terms != nullptr && terms->shape_logits()) lanes_.emplace(*terms, queries);
  }

  /// On scores[j][lane] of keys [begin, begin + keys), at most kKeyBlock.
  HWY_INLINE void shape(std::int64_t begin, std::ptrdiff_t keys, std::ptrdiff_t columns,
                        float* scores) const {
    if (lanes_) {
      float positions[kKeyBlock];
      count_up(begin, keys, positions);
      shape_tile(*shaping_.terms, *lanes_, queries_.lanes, positions, keys, 0, columns, scores);
    }
    modify(begin, keys, scores);
  }

  /// The same where each column takes a range of these keys, at most kMostBlockKeys.
  HWY_INLINE void shape_ranges(std::int64_t begin, std::ptrdiff_t keys, const BlockRanges& ranges,
                               std::ptrdiff_t columns, float* scores) const {
    if (lanes_) {
      float positions[kMostBlockKeys];
      count_up(begin, keys, positions);
      shape_in_ranges(ranges, *shaping_.terms, *lanes_, queries_.lanes, positions, columns, scores);
    }
    modify(begin, keys, scores);
  }

  /// On one lane's logits of keys [begin, begin + keys); -infinity where a mask from a file forbids
  /// the pair. The logits have room for whole vectors.
  void shape_lane(int lane, std::int64_t begin, std::int64_t keys, float* logits) const {
    for (std::int64_t at = 0; lanes_ && at < keys; at += kKeyBlock) {
      const std::int64_t count = std::min<std::int64_t>(kKeyBlock, keys - at);
      float positions[kKeyBlock];
      count_up(begin + at, count, positions);
      shape_lane_row(*shaping_.terms, lanes_->slopes[lane], lanes_->positions[lane], positions,
                     count, logits + at);
    }
    const QueryIndex row{queries_.batch, queries_.head[lane], queries_.query[lane]};
    if (shaping_.modifier != nullptr) shaping_.modifier->row(row, {begin, keys}, logits);
    if (shaping_.mask != nullptr)
      mask_row(shaping_.mask->bits(row.batch, row.head, row.query), begin, keys, logits);
  }

  /// Whether shape_lane() changes anything beside what the pattern masks.
  bool shapes() const { return lanes_.has_value() || shaping_.modifier != nullptr; }
  /// Whether it changes anything.
  bool shapes_or_masks() const { return shapes() || shaping_.mask != nullptr; }

  /// A lane's sink, a logit in base 2; -infinity without one.
  float sink(int lane) const {
    if (shaping_.terms == nullptr || shaping_.terms->sink.empty()) return kNoSink;
    return shaping_.terms->sink[static_cast<std::size_t>(queries_.head[lane])];
  }
  bool has_sink() const { return shaping_.terms != nullptr && !shaping_.terms->sink.empty(); }

  /// Puts the sinks into the state of a tile that has seen no key.
  void start(const SoftmaxColumns& t) const {
    for (int lane = 0; lane < queries_.lanes && has_sink(); ++lane) {
      t.maximum[lane] = sink(lane);
      // A sink of -infinity is none.
      if (t.maximum[lane] > kNoSink) t.sum[lane] = 1;
    }
  }

 private:
  static constexpr float kNoSink = -std::numeric_limits<float>::infinity();

  void modify(std::int64_t begin, std::ptrdiff_t keys, float* scores) const {
    if (shaping_.modifier == nullptr) return;
    shaping_.modifier->block(queries_, {begin, keys, nullptr}, scores);
  }

  static void count_up(std::int64_t begin, std::int64_t keys, float* positions) {
    for (std::int64_t j = 0; j < keys; ++j) positions[j] = static_cast<float>(begin + j);
  }

  /// `bits` has a word more than the keys fill.
  static void mask_row(const std::uint64_t* bits, std::int64_t begin, std::int64_t keys,
                       float* logits) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto none = hn::Set(d, kNoSink);
    const std::int64_t shift = begin % 64;
    for (std::int64_t at = 0; at < keys; at += 64) {
      const std::uint64_t* from = bits + (begin + at) / 64;
      std::uint64_t word = from[0] >> shift;
      if (shift != 0) word |= from[1] << (64 - shift);
      for (std::int64_t j = 0; j < std::min<std::int64_t>(64, keys - at); j += lanes) {
        float* to = logits + at + j;
        hn::Store(hn::IfThenElse(lanes_of(d, word, j), hn::Load(d, to), none), d, to);
      }
    }
  }

  const LogitShaping& shaping_;
  const TileQueries& queries_;
  std::optional<LaneTerms> lanes_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
