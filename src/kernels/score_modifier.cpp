#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/score_modifier.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/score_modifier.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// scores[n][lane] += scale * rows[lane][n].
void add_rows_target(const float* const* rows, int lanes, std::int64_t keys, float scale,
                     float* scores) {
  const hn::ScalableTag<float> d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t columns = (lanes + step - 1) / step * step;
  HWY_ALIGN float added[kMostBlockKeys * kTileQueries];
  pack_transposed(rows, lanes, columns, keys, scale, added, kTileQueries);
  for (std::int64_t n = 0; n < keys; ++n) {
    for (std::int64_t at = n * kTileQueries; at < n * kTileQueries + columns; at += step) {
      hn::Store(hn::Add(hn::Load(d, scores + at), hn::Load(d, added + at)), d, scores + at);
    }
  }
}

/// scores[n] += scale * row[n].
void add_row_target(const float* row, std::int64_t keys, float scale, float* scores) {
  const hn::ScalableTag<float> d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale);
  std::int64_t n = 0;
  for (; n + step <= keys; n += step) {
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, row + n), hn::LoadU(d, scores + n)), d, scores + n);
  }
  for (; n < keys; ++n) scores[n] += scale * row[n];
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <numbers>
#include <utility>

#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(add_rows_target);
HWY_EXPORT(add_row_target);

constexpr float kLog2e = std::numbers::log2e_v<float>;

/// Adds the values of an additive mask.
class MaskValues final : public ScoreModifier {
 public:
  explicit MaskValues(std::shared_ptr<const AttentionMask> mask) : mask_(std::move(mask)) {}

  void block(const TileQueries& tile, const BlockKeys& keys, float* scores) const override {
    if (keys.index != nullptr) return listed_block(tile, keys, scores);
    const float* rows[kTileQueries];
    for (int lane = 0; lane < tile.lanes; ++lane) {
      rows[lane] = mask_->values(tile.batch, tile.head[lane], tile.query[lane]) + keys.first;
    }
    HWY_DYNAMIC_DISPATCH(add_rows_target)(rows, tile.lanes, keys.count, kLog2e, scores);
  }

  void row(const QueryIndex& at, const BlockKeys& keys, float* scores) const override {
    const float* values = mask_->values(at.batch, at.head, at.query);
    if (keys.index == nullptr) {
      return HWY_DYNAMIC_DISPATCH(add_row_target)(values + keys.first, keys.count, kLog2e, scores);
    }
    for (std::int64_t n = 0; n < keys.count; ++n) scores[n] += kLog2e * values[keys[n]];
  }

 private:
  void listed_block(const TileQueries& tile, const BlockKeys& keys, float* scores) const {
    for (int lane = 0; lane < tile.lanes; ++lane) {
      const float* values = mask_->values(tile.batch, tile.head[lane], tile.query[lane]);
      for (std::int64_t n = 0; n < keys.count; ++n) {
        scores[n * kTileQueries + lane] += kLog2e * values[keys[n]];
      }
    }
  }

  std::shared_ptr<const AttentionMask> mask_;
};

/// The keys of a block; `index` is storage for those that are not consecutive.
BlockKeys keys_of(const KeyPattern& pattern, const KeyBlock& block, std::int64_t* index) {
  const std::int64_t count = block.end - block.begin;
  if (pattern.in_place(block.source)) return {block.begin, count};
  for (std::int64_t n = 0; n < count; ++n) index[n] = pattern.key(block.source, block.begin + n);
  return {0, count, index};
}

}  // namespace

std::unique_ptr<const ScoreModifier> make_score_modifier(const Problem& problem) {
  if (problem.mask == nullptr || !problem.mask->is_additive()) return nullptr;
  return std::make_unique<MaskValues>(problem.mask);
}

void modify_block(const TileJob& job, const KeyBlock& block, float* scores) {
  std::int64_t index[kMostBlockKeys];
  job.modifier->block(job.queries, keys_of(*job.pattern, block, index), scores);
}

void modify_lane(const TileJob& job, const KeyBlock& block, int lane, float* scores) {
  std::int64_t index[kMostBlockKeys];
  const TileQueries& queries = job.queries;
  job.modifier->row({queries.batch, queries.head[lane], queries.query[lane]},
                    keys_of(*job.pattern, block, index), scores);
}

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
