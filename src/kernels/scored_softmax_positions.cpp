#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <numeric>

#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/prepared_pair.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// Hidden units, padded: 4 vectors of AVX-512.
std::int64_t padded_units(std::int64_t hidden) { return (hidden + 31) / 32 * 32; }

}  // namespace

std::int64_t window_floats(const Problem& p, std::int64_t window) {
  return (std::min(2 * window + 1, p.seq_k) + 15) / 16 * 16;
}

std::size_t prediction_doubles(std::int64_t dim, std::int64_t padded_hidden) {
  return static_cast<std::size_t>(kMostNetworkQueries * (dim + padded_hidden));
}

PositionNetwork pack_position_network(std::int64_t dim, std::int64_t hidden, const float* w,
                                      const float* v) {
  PositionNetwork net;
  net.dim = dim;
  net.hidden = hidden;
  net.stride = padded_units(hidden);
  net.w.assign(static_cast<std::size_t>(net.stride * dim), 0.0);
  net.v.assign(static_cast<std::size_t>(net.stride), 0.0);
  for (std::int64_t a = 0; a < hidden; ++a) {
    for (std::int64_t i = 0; i < dim; ++i) {
      net.w[static_cast<std::size_t>(i * net.stride + a)] =
          2 * std::numbers::log2e * static_cast<double>(w[a * dim + i]);
    }
  }
  for (std::int64_t a = 0; a < hidden; ++a) {
    net.v[static_cast<std::size_t>(a)] = static_cast<double>(v[a]);
    net.v_sum += static_cast<double>(v[a]);
  }
  return net;
}

namespace {

/// What a thread needs: positions and their order are of the block of queries that it owns, which
/// others may help with, the rest is for what it computes.
struct PredictionScratch {
  PredictionScratch(const Problem& p, std::int64_t window, float* block)
      : positions(reinterpret_cast<double*>(block)),
        weights(block + std::ptrdiff_t{2} * kPredictedBlock),
        order(reinterpret_cast<std::int32_t*>(weights +
                                              window_floats(p, window) * (kPredictedQueries + 1))),
        network(reinterpret_cast<double*>(order + kPredictedBlock)) {}
  static std::size_t floats(const Problem& p, std::int64_t window, std::int64_t hidden) {
    return static_cast<std::size_t>(std::int64_t{3} * kPredictedBlock +
                                    window_floats(p, window) * (kPredictedQueries + 1)) +
           2 * prediction_doubles(p.dim_qk, padded_units(hidden));
  }
  double* positions;    // [kPredictedBlock]
  float* weights;       // [kPredictedQueries + 1][window_floats()]
  std::int32_t* order;  // [kPredictedBlock]
  double* network;      // prediction_doubles()
};

/// Lanes whose positions are ordered together: as few blocks of a head as there can be, of one size
/// but the last.
struct PredictedBlocks {
  explicit PredictedBlocks(const Problem& p)
      : lanes(p.seq_q * p.group()),
        per_head((lanes + kPredictedBlock - 1) / kPredictedBlock),
        size(((lanes + per_head - 1) / per_head + kPredictedQueries - 1) / kPredictedQueries *
             kPredictedQueries) {}
  std::int64_t lanes;     // Of a head of keys.
  std::int64_t per_head;  // Blocks.
  std::int64_t size;      // Lanes of a block.
};

/// order[0, count): the indices below count by position_of(index), in [0, keys], in steps of some
/// keys.
template <class PositionOf>
void order_by_position(PositionOf position_of, int count, std::int64_t keys, std::int32_t* order) {
  constexpr int kSteps = 1024;
  const double scale = kSteps / static_cast<double>(keys);
  const auto step = [&](int i) {
    return static_cast<std::size_t>(std::min(std::max(0.0, scale * position_of(i)), kSteps - 1.0));
  };
  std::int32_t ends[kSteps] = {};
  for (int i = 0; i < count; ++i) ++ends[step(i)];
  std::partial_sum(std::begin(ends), std::end(ends), std::begin(ends));
  for (int i = count - 1; i >= 0; --i) order[--ends[step(i)]] = i;
}

/// All blocks of a call: positions are predicted, ordered, and then the windows are visited in the
/// order of the keys.
class PredictedCall {
 public:
  PredictedCall(const Problem& problem, const PositionNetwork& network, std::int64_t window,
                const Inputs& inputs, TensorView output, LogitShaping shaping)
      : problem_(problem),
        network_(network),
        window_(window),
        inputs_(inputs),
        output_(output),
        shaping_(shaping) {}

  /// Lanes [begin, begin + count) of a head of keys, and what is known of them.
  struct Block {
    std::int64_t batch;
    std::int64_t kv_head;
    std::int64_t begin;
    int count;
    PredictionScratch scratch;
  };
  /// Lanes of a block that follow each other in the order of the keys.
  struct Tile {
    LaneTile lanes;
    KeyWindow windows[kPredictedQueries];
  };
  /// Whole rounds of a network, of 8 queries as of 12.
  static constexpr int kPredictedAtOnce = 96;

  /// Predicts the positions of the index-th kPredictedAtOnce lanes; `network` is this thread's.
  void predict(const Block& block, std::int64_t index, double* network) const {
    const auto first = static_cast<int>(index * kPredictedAtOnce);
    // The last block of a head has fewer lanes than the others.
    if (first >= block.count) return;
    const int end = std::min(block.count, first + kPredictedAtOnce);
    const float* rows[kPredictedAtOnce + kMostNetworkQueries];
    const int known = std::min(block.count, end + kMostNetworkQueries) - first;
    const std::int64_t group = problem_.group();
    for (int at = 0; at < known; ++at) {
      const std::int64_t lane = block.begin + first + at;
      rows[at] = inputs_.q.row(block.batch, block.kv_head * group + lane % group, lane / group);
    }
    predict_positions({network_, rows, end - first, known, problem_.seq_k,
                       block.scratch.positions + first, network});
  }
  void order(const Block& block) const {
    const double* positions = block.scratch.positions;
    if (!problem_.causal) {
      order_by_position([&](int i) { return positions[i]; }, block.count, problem_.seq_k,
                        block.scratch.order);
      return;
    }
    // A window in the future visits the last keys that there are.
    const auto visited = [&](int i) {
      return std::min(positions[i], static_cast<double>(keys_of(block, block.begin + i)));
    };
    order_by_position(visited, block.count, problem_.seq_k, block.scratch.order);
  }
  /// The index-th tile.
  void place(const Block& block, std::int64_t index, Tile& tile) const {
    start(block, tile.lanes);
    const auto first = static_cast<int>(index * kPredictedQueries);
    for (int at = first; at < std::min(block.count, first + kPredictedQueries); ++at) {
      const std::int32_t lane = block.scratch.order[at];
      tile.windows[at - first] =
          key_window(block.scratch.positions[lane], window_, keys_of(block, block.begin + lane));
      add_lane(problem_, inputs_.q, output_, block.begin + lane, tile.lanes);
    }
  }
  /// Computes a placed tile; `weights` are this thread's.
  void run(const Tile& tile, float* weights, Upcoming* upcoming) const {
    const std::int64_t b = tile.lanes.queries.batch, h = tile.lanes.kv_head;
    run_predicted_tile({problem_, tile.lanes, shaping_, window_, tile.windows,
                        inputs_.k.row(b, h, 0), inputs_.k.stride[2], inputs_.v.row(b, h, 0),
                        inputs_.v.stride[2], weights, upcoming});
  }
  /// What `next` reads and `now`, of the same head, does not, and where it writes.
  void add_next(const Tile& now, const Tile& next, Upcoming& upcoming) const {
    const TileQueries& queries = next.lanes.queries;
    const Reach before = reach(now);
    Reach after = reach(next);
    if (after.begin < before.begin) {
      after.end = std::min(after.end, before.begin);
    } else {
      after.begin = std::max(after.begin, before.end);
    }
    const std::int64_t count = rows_ahead(problem_, after.end - after.begin);
    const std::int64_t b = queries.batch, h = next.lanes.kv_head;
    upcoming.add_rows(inputs_.k.row(b, h, after.begin), inputs_.k.stride[2], count,
                      problem_.dim_qk);
    upcoming.add_rows(inputs_.v.row(b, h, after.begin), inputs_.v.stride[2], count, problem_.dim_v);
    for (int lane = 0; lane < queries.lanes; ++lane) {
      upcoming.add(next.lanes.q_rows[lane], problem_.dim_qk);
      upcoming.add(next.lanes.out_rows[lane], problem_.dim_v);
    }
  }

 private:
  struct Reach {
    std::int64_t begin;
    std::int64_t end;
  };

  static void start(const Block& block, LaneTile& tile) {
    tile.queries.lanes = 0;
    tile.queries.batch = block.batch;
    tile.kv_head = block.kv_head;
  }
  /// Keys that a lane may read.
  std::int64_t keys_of(const Block& block, std::int64_t lane) const {
    return readable_keys(problem_, block.batch, lane / problem_.group());
  }
  /// The keys that the tile's windows lie in.
  Reach reach(const Tile& tile) const {
    Reach all{problem_.seq_k, 0};
    for (int lane = 0; lane < tile.lanes.queries.lanes; ++lane) {
      const KeyWindow& w = tile.windows[lane];
      all.begin = std::min(all.begin, w.begin);
      all.end = std::max(all.end, w.begin + w.count);
    }
    return all;
  }

  const Problem& problem_;
  const PositionNetwork& network_;
  std::int64_t window_;
  const Inputs& inputs_;
  TensorView output_;
  LogitShaping shaping_;
};

}  // namespace

void predictive_window_attention(const Problem& p, std::int64_t window,
                                 const PositionNetwork& network, const Inputs& inputs,
                                 TensorView output, Workspace& workspace, Executor& executor) {
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(
      workspace, PredictionScratch::floats(p, window, network.hidden), executor.threads());
  struct Mine {
    Upcoming upcoming;
    PreparedPair<PredictedCall::Tile, PieceIndex> tiles;
  };
  PerThread<Mine> threads(executor.threads());
  const bool look_ahead = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const PredictedCall call(p, network, window, inputs, output, shaping.view());
  const PredictedBlocks blocks(p);
  const std::int64_t all = p.batch * p.heads_kv * blocks.per_head;
  const auto block_of = [&](const HeadPiece& piece) {
    const std::int64_t head = piece.head / blocks.per_head;
    const std::int64_t begin = piece.head % blocks.per_head * blocks.size;
    const std::int64_t owner = all <= executor.threads() ? piece.head : piece.owner;
    return PredictedCall::Block{
        head / p.heads_kv,
        head % p.heads_kv,
        begin,
        static_cast<int>(std::clamp<std::int64_t>(blocks.lanes - begin, 0, blocks.size)),
        {p, window, scratch[static_cast<std::size_t>(owner)]}};
  };
  const auto run_tile = [&](const HeadPiece& piece, const PredictedCall::Block& block, int slot,
                            float* weights) {
    if (piece.index * kPredictedQueries >= block.count) return;
    Mine& mine = threads[slot];
    const auto place = [&](const PieceIndex& at, PredictedCall::Tile& tile) {
      call.place(block, at.index, tile);
    };
    const PredictedCall::Tile& tile = mine.tiles.take(PieceIndex{piece.head, piece.index}, place);
    mine.upcoming.clear();
    if (piece.next && piece.next->index * kPredictedQueries < block.count) {
      const PredictedCall::Tile& next = mine.tiles.prepare(*piece.next, place);
      if (look_ahead) call.add_next(tile, next, mine.upcoming);
    }
    call.run(tile, weights, look_ahead ? &mine.upcoming : nullptr);
  };
  const std::int64_t predictions =
      (blocks.size + PredictedCall::kPredictedAtOnce - 1) / PredictedCall::kPredictedAtOnce;
  share_heads<3>(all, {predictions, 1, blocks.size / kPredictedQueries}, executor,
                 [&](const HeadPiece& piece, int slot) {
                   const PredictionScratch mine(p, window, scratch[static_cast<std::size_t>(slot)]);
                   const PredictedCall::Block block = block_of(piece);
                   if (piece.phase == 0) return call.predict(block, piece.index, mine.network);
                   if (piece.phase == 1) return call.order(block);
                   run_tile(piece, block, slot, mine.weights);
                 });
}

WindowWork predictive_window_work(const Problem& p, std::int64_t window, std::int64_t hidden,
                                  int threads) {
  double keys = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t i = 0; i < p.seq_q; ++i) {
      keys += static_cast<double>(std::min(2 * window + 1, readable_keys(p, b, i)));
    }
  }
  keys *= static_cast<double>(p.heads_q);
  const auto rows = static_cast<double>(p.batch * p.heads_q * p.seq_q);
  WindowWork work;
  work.float64_flops = 2 * rows * static_cast<double>(hidden * p.dim_qk);
  work.flops = work.float64_flops + 2 * keys * static_cast<double>(p.dim_qk + p.dim_v);
  work.float64_exps = rows * static_cast<double>(hidden + 1);
  work.exps =
      work.float64_exps + (p.sink.empty() ? 0 : rows) + keys * (2 + LogitTerms(p).exps_per_pair());
  work.workspace_bytes = per_thread_bytes(PredictionScratch::floats(p, window, hidden), threads);
  return work;
}

}  // namespace attnbench::kernels
