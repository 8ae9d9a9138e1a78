// Tiles of queries for engines whose scores are not one matrix product. Internal to kernels/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/key_pattern.h"
#include "kernels/logit_terms.h"
#include "kernels/score_modifier.h"
#include "kernels/shared_heads.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// Up to 64 query rows that read the keys of one key-value head.
struct LaneTile {
  TileQueries queries;
  std::int64_t kv_head = 0;
  const float* q_rows[kTileQueries] = {};
  float* out_rows[kTileQueries] = {};
};

/// What a problem does to logits between the score and the softmax; null members do nothing.
struct LogitShaping {
  const LogitTerms* terms = nullptr;
  const ScoreModifier* modifier = nullptr;  ///< Adds the values of an additive mask.
  const AttentionMask* mask = nullptr;      ///< From a file.
};

/// Holds what a problem's shaping refers to.
class ProblemShaping {
 public:
  explicit ProblemShaping(const Problem& problem)
      : terms_(problem), modifier_(make_score_modifier(problem)), mask_(problem.mask) {}
  LogitShaping view() const { return {terms_.if_any(), modifier_.get(), mask_.get()}; }

 private:
  LogitTerms terms_;
  std::unique_ptr<const ScoreModifier> modifier_;
  std::shared_ptr<const AttentionMask> mask_;
};

/// Adds the next lane to a tile of a head of keys: query `lane` / group, head `lane` % group.
void add_lane(const Problem& problem, ConstTensorView q, TensorView out, std::int64_t lane,
              LaneTile& tile);

/// The index-th of a head's tiles. head = batch row * Hkv + key-value head.
void fill_lane_tile(const Problem& problem, ConstTensorView q, TensorView out, const PieceIndex& at,
                    LaneTile& tile);

/// Calls body(tile, slot) for every tile, shared out among the threads, head by
/// head, from the last on, which under a causal mask is the longest.
void for_each_lane_tile(const Problem& problem, ConstTensorView q, TensorView out,
                        Executor& executor, const std::function<void(LaneTile&, int slot)>& body);

/// The problem's base mask: causal and key lengths.
WindowPattern base_pattern(const Problem& problem);

/// One block of `floats` per thread, from the workspace.
std::vector<float*> take_per_thread(Workspace& workspace, std::size_t floats, int threads);

/// (query, key) pairs that the tiles of a pattern visit, blocks of keys counted once per lane.
struct TileVisits {
  double pairs = 0;
  double lane_blocks = 0;
};
TileVisits count_visits(const Problem& problem, const KeyPattern& pattern);

}  // namespace attnbench::kernels
