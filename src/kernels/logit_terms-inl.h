// Soft cap and ALiBi's bias on blocks of logits, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_LOGIT_TERMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_LOGIT_TERMS_INL_H_
#undef ATTNBENCH_KERNELS_LOGIT_TERMS_INL_H_
#else
#define ATTNBENCH_KERNELS_LOGIT_TERMS_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/key_pattern.h"
#include "kernels/logit_terms.h"
#include "kernels/op_count.h"
#include "kernels/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// cap tanh(s / cap); `inverse` is 1 / cap.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V soft_capped(D d, V s, V cap, V inverse) {
  return hn::Mul(cap, tanh_f32(d, hn::Mul(s, inverse)));
}

/// Logits whose columns are query lanes, `stride` floats from key to key, from `column` up to
/// `columns`: for a block of keys at `key_positions`. Each lane has its slope and its position
/// ([columns], float32: sequences are shorter than 2^24, so that distances are exact).
template <bool capped, bool biased>
HWY_INLINE void shape_lanes(float* HWY_RESTRICT scores, std::ptrdiff_t stride, std::ptrdiff_t keys,
                            std::ptrdiff_t column, std::ptrdiff_t columns, float softcap,
                            const float* HWY_RESTRICT key_positions,
                            const float* HWY_RESTRICT slopes, const float* HWY_RESTRICT positions) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto cap = hn::Set(d, softcap), inverse = hn::Set(d, capped ? 1 / softcap : 0.0F);
  for (std::ptrdiff_t at = column; at < columns; at += lanes) {
    const auto slope = biased ? hn::Load(d, slopes + at) : hn::Zero(d);
    const auto position = biased ? hn::Load(d, positions + at) : hn::Zero(d);
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      auto s = hn::Load(d, scores + j * stride + at);
      if constexpr (capped) s = soft_capped(d, s, cap, inverse);
      if constexpr (biased) {
        const auto distance = hn::Abs(hn::Sub(position, hn::Set(d, key_positions[j])));
        s = hn::NegMulAdd(slope, distance, s);
      }
      hn::Store(s, d, scores + j * stride + at);
    }
  }
}

/// What the logits of a tile's lanes depend on beside the keys.
struct LaneTerms {
  LaneTerms(const LogitTerms& terms, const TileQueries& queries) {
    for (int lane = 0; lane < queries.lanes && !terms.slopes.empty(); ++lane) {
      slopes[lane] = terms.slopes[static_cast<std::size_t>(queries.head[lane])];
      positions[lane] = static_cast<float>(queries.query[lane] + terms.diagonal);
    }
  }
  alignas(64) float slopes[kTileQueries] = {};
  alignas(64) float positions[kTileQueries] = {};
};

/// What the terms do to a block of logits of `lane_count` lanes, those in [column, columns);
/// `key_positions` are read under ALiBi alone. Only with terms that change logits.
HWY_INLINE void shape_tile(const LogitTerms& terms, const LaneTerms& lanes, int lane_count,
                           const float* key_positions, std::ptrdiff_t keys, std::ptrdiff_t column,
                           std::ptrdiff_t columns, float* scores) {
  if (terms.slopes.empty()) {
    shape_lanes<true, false>(scores, kTileQueries, keys, column, columns, terms.softcap,
                             key_positions, lanes.slopes, lanes.positions);
  } else {
    const auto shape = terms.softcap > 0 ? shape_lanes<true, true> : shape_lanes<false, true>;
    shape(scores, kTileQueries, keys, column, columns, terms.softcap, key_positions, lanes.slopes,
          lanes.positions);
  }
  if (terms.softcap > 0) count_ops(0, keys * lane_count);
}

/// The same for one query's logits of consecutive rows of a source, [keys] floats.
template <bool capped, bool biased>
HWY_INLINE void shape_row(float* HWY_RESTRICT scores, std::ptrdiff_t keys, float softcap,
                          const float* HWY_RESTRICT key_positions, float slope, float position) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto shape = [&](auto tag, std::ptrdiff_t j) {
    auto s = hn::LoadU(tag, scores + j);
    if constexpr (capped) {
      s = soft_capped(tag, s, hn::Set(tag, softcap), hn::Set(tag, 1 / softcap));
    }
    if constexpr (biased) {
      const auto distance =
          hn::Abs(hn::Sub(hn::Set(tag, position), hn::LoadU(tag, key_positions + j)));
      s = hn::NegMulAdd(hn::Set(tag, slope), distance, s);
    }
    hn::StoreU(s, tag, scores + j);
  };
  std::ptrdiff_t j = 0;
  for (; j + lanes <= keys; j += lanes) shape(d, j);
  for (; j < keys; ++j) shape(d1, j);
}

/// What the terms do to one lane's logits of consecutive rows of a source, as shape_tile().
HWY_INLINE void shape_lane_row(const LogitTerms& terms, float slope, float position,
                               const float* key_positions, std::ptrdiff_t keys, float* scores) {
  if (terms.slopes.empty()) {
    shape_row<true, false>(scores, keys, terms.softcap, key_positions, 0, 0);
  } else {
    const auto shape = terms.softcap > 0 ? shape_row<true, true> : shape_row<false, true>;
    shape(scores, keys, terms.softcap, key_positions, slope, position);
  }
  if (terms.softcap > 0) count_ops(0, keys);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
