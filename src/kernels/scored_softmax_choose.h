// Choices of one tile of queries; scored_softmax_choice.h puts them together. Internal to kernels/.
#pragma once

#include <cstdint>

#include "kernels/scored_softmax_tiles.h"

namespace attnbench::kernels {

/// A tile and the keys of its head.
struct ChoiceTile {
  const Problem& problem;
  const LaneTile& tile;
  const KeyPattern& pattern;  ///< The base mask, and that from a file.
  LogitShaping shaping = {};
  float scale = 1;  ///< Factor on the logits, in base 2.
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* scratch = nullptr;  ///< 64-byte aligned.
};

/// Keys that the base mask lets lane `lane` read: the first ones.
inline std::int64_t lane_keys(const ChoiceTile& job, int lane) {
  const TileQueries& queries = job.tile.queries;
  return readable_keys(job.problem, queries.batch, queries.position[lane]);
}

/// Keys per segment of a sampling query: whole blocks, at most kSampleSegments segments.
std::int64_t sample_segment(std::int64_t seq_k);

/// Slots of a lane's list of candidates: twice what is wanted, so that the list is cut back only
/// every so often, and room for a block; never more than there are keys.
std::int64_t topk_slots(std::int64_t seq_k, std::int64_t count);
/// Entries behind a list's slots, which may be written and are never read. Lists stay aligned.
constexpr std::int64_t kTopkSpare = 16;

std::size_t argmax_floats(const Problem& problem);
std::size_t sampled_floats(const Problem& problem);
std::size_t topk_floats(const Problem& problem, std::int64_t count);

void run_argmax_tile(const ChoiceTile& job);
void run_sampled_tile(const ChoiceTile& job, const float* uniform);
void run_topk_tile(const ChoiceTile& job, std::int64_t count);

}  // namespace attnbench::kernels
