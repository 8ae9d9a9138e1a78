// Tiled attention with an online softmax (Milakov and Gimelshein 2018, "Online normalizer
// calculation for softmax"; Dao et al. 2022, FlashAttention, and Dao 2023, FlashAttention-2:
// queries outside, unnormalised accumulator) over any key pattern.
//
// A tile is up to 64 queries of one key-value head (all query heads of the group take part), held
// transposed: lanes are queries. Scores of a key block are S^T[key][lane] = K Q^T, so that the
// softmax runs down columns without a horizontal reduction, and O^T[d][lane] += V^T P^T, or O += P
// V by rows where few keys are read under a mask, needs neither K nor V packed. docs/kernels.md
// derives tile sizes and traffic.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/key_pattern.h"
#include "kernels/logit_terms.h"
#include "kernels/score_modifier.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

class TileSequence;
struct TiledCall;
struct HeadPiece;

constexpr int kMaxSources = 4;  ///< Key sources of one call.

/// Keys and values that runs refer to, as [B, Hkv, keys, D] and [B, Hkv, keys, Dv].
struct KeySource {
  ConstTensorView k;
  ConstTensorView v;
};

/// The rows of one source for one (batch row, key-value head).
struct SourceRows {
  const float* k = nullptr;
  std::int64_t k_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
};

/// Running maximum (of logits in base 2) and sum of one output row.
struct SoftmaxState {
  float maximum = 0;
  float sum = 0;
};

/// One tile's work.
struct TileJob {
  TileQueries queries;
  const float* q_rows[kTileQueries] = {};
  float* out_rows[kTileQueries] = {};
  /// With `resume`, the rows hold an unnormalised output and `states` its state; without `finish`
  /// they are left so. `states` may be null when neither is asked for.
  SoftmaxState* states[kTileQueries] = {};
  bool resume = false;
  bool finish = true;
  const LogitTerms* terms = nullptr;  ///< What is done to logits, or null.
  /// Whether the terms' sink starts this tile's sums (not with `resume`): a row's first tile only.
  bool starts_rows = true;
  std::span<const SourceRows> sources;
  const KeyPattern* pattern = nullptr;
  const ScoreModifier* modifier = nullptr;  ///< Null: scores are used as they are.
  std::int64_t dim_qk = 0;
  std::int64_t dim_v = 0;
  double scale = 1;
  /// Where all scores of the tile go, over `matrix_keys` keys of one source (materialised_softmax);
  /// null: a block's after the other's, in the scratch.
  float* matrix = nullptr;
  std::int64_t matrix_keys = 0;
  float* scratch = nullptr;             ///< tile_scratch_floats(), 64-byte aligned.
  std::vector<KeyRun>* runs = nullptr;  ///< Reused storage.
  bool runs_listed = false;             ///< `runs` holds what the pattern says for these queries.
  bool far = false;                     ///< The call reads more than kFarBytes.
  bool first_of_head = false;           ///< Nothing has brought the head's keys closer yet.
  Upcoming* upcoming = nullptr;         ///< Fetched meanwhile, or null.
};

/// Asks the pattern for the job's runs, once.
void list_runs(TileJob& job);

/// Floats of a tile's queries, outputs, maxima, sums and factors; and of scratch that a tile needs,
/// with a block of scores beside these.
std::size_t tile_state_floats(std::int64_t dim_qk, std::int64_t dim_v);
std::size_t tile_scratch_floats(std::int64_t dim_qk, std::int64_t dim_v);

/// The keys of a block, as float32: sequences are shorter than 2^24.
void key_positions(const TileJob& job, const KeyBlock& block, float* positions);

/// Lets the job's modifier change a block of scores, S^T[key][lane] with kTileQueries floats per
/// key.
void modify_block(const TileJob& job, const KeyBlock& block, float* scores);
/// The same for the scores of one lane, key by key.
void modify_lane(const TileJob& job, const KeyBlock& block, int lane, float* scores);

/// Computes one tile with the instruction set in use.
void run_tile(TileJob& job);

/// Attention over the whole problem, under its mask and with its score modifier. `pattern` says
/// which keys take part besides.
struct TiledSoftmaxCall {
  const Problem& problem;  ///< Shapes of Q and O, the head grouping, the mask.
  double scale = 1;        ///< Factor on the logits.
  std::span<const KeySource> sources;
  const KeyPattern& pattern;
  ConstTensorView q;
  TensorView out;
  /// [B, Hq, Nq]: when given, `out` is left unnormalised with its state here, for tiles that
  /// resume.
  SoftmaxState* states = nullptr;
  const LogitTerms* terms = nullptr;  ///< What is done to logits, or null.
};
void tiled_softmax(const TiledSoftmaxCall& call, Workspace& workspace, Executor& executor);

/// The tiles of a call, head by head: for engines that do more with a head while it is in their
/// cache. The call outlives it.
class HeadTiles {
 public:
  explicit HeadTiles(const TiledSoftmaxCall& call);
  ~HeadTiles();
  HeadTiles(const HeadTiles&) = delete;
  HeadTiles& operator=(const HeadTiles&) = delete;

  std::int64_t count() const { return count_; }  ///< Of each (batch row, key-value head).
  /// Computes a piece, of head = batch row * Hkv + key-value head and index below count(), on the
  /// calling thread, whose `sequence` it is. A head's tiles come from the first on, as hardware
  /// prefetching goes; under a causal mask over all keys from the last on, which is the longest.
  /// With `look_ahead` the rows of the tile that is next are fetched meanwhile.
  void run(const HeadPiece& piece, bool look_ahead, TileSequence& sequence) const;

 private:
  std::unique_ptr<const TiledCall> tiled_;
  std::int64_t count_;
  bool reads_all_;     // Tiles read the same keys, not windows of them.
  bool longest_last_;  // A causal mask over all keys.
};

/// Workspace that tiled_softmax takes on `threads` threads.
std::size_t tiled_softmax_workspace_bytes(const Problem& problem, const KeyPattern& pattern,
                                          int threads);

/// What tiles execute.
struct TileWork {
  /// (query, key) pairs whose score, and whose part of the output, is computed, masked ones
  /// included, all heads.
  double pairs = 0;
  double value_pairs = 0;
  double exps = 0;  ///< One per pair, and one per lane and block for the rescaling.

  /// Of both products.
  double flops(std::int64_t dim_qk, std::int64_t dim_v) const {
    return 2 * (pairs * static_cast<double>(dim_qk) + value_pairs * static_cast<double>(dim_v));
  }
  /// Its exps and those of what is done to logits.
  double exps_with(const LogitTerms& terms) const { return exps + pairs * terms.exps_per_pair(); }
  /// Adds `times` such tiles.
  void add(const TileWork& tile, double times = 1) {
    pairs += tile.pairs * times;
    value_pairs += tile.value_pairs * times;
    exps += tile.exps * times;
  }
};
TileWork tiled_softmax_work(const Problem& problem, const KeyPattern& pattern, int threads);

/// Queries of the tile-th tile of a key-value head: lanes run over (query, head of
/// the group), heads fastest.
void tile_lanes(const Problem& problem, std::int64_t tile, std::int64_t batch, std::int64_t kv_head,
                TileQueries& queries);
std::int64_t tile_count(const Problem& problem);

/// Calls visit(batch row, key-value head, heads) for every head whose tiles differ from those of
/// others; `heads` counts those that it stands for.
template <class Visit>
void for_each_distinct_head(const Problem& problem, Visit visit) {
  const bool differ = problem.mask != nullptr && problem.mask->per_head();
  for (std::int64_t b = 0; b < problem.batch; ++b) {
    for (std::int64_t head = 0; head < (differ ? problem.heads_kv : 1); ++head) {
      visit(b, head, differ ? 1.0 : static_cast<double>(problem.heads_kv));
    }
  }
}

/// Calls visit(queries, heads) for every tile of every head whose tiles differ
/// from those of others, as for_each_distinct_head().
template <class Visit>
void for_each_distinct_tile(const Problem& problem, Visit visit) {
  for_each_distinct_head(problem, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t tile = 0; tile < tile_count(problem); ++tile) {
      TileQueries queries;
      tile_lanes(problem, tile, b, head, queries);
      visit(queries, heads);
    }
  });
}

/// Work of one tile with values of `dim_v` numbers: pairs and exponentials over its runs, and what
/// joining its rows with what they already held takes where it resumes them.
TileWork tile_work(const TileQueries& queries, const KeyPattern& pattern, std::vector<KeyRun>& runs,
                   std::int64_t dim_v, bool resume = false);
/// The same of a tile that is run with vectors along its lanes, however few.
TileWork wide_tile_work(const TileQueries& queries, const KeyPattern& pattern,
                        std::vector<KeyRun>& runs, std::int64_t dim_v);

}  // namespace attnbench::kernels
