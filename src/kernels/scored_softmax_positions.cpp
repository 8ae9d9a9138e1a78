#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <numeric>

#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/scored_softmax_windows.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

WindowPattern monotonic_pattern(const Problem& p, std::int64_t window) {
  return {window, p.causal ? 0 : window, p.diagonal(), p.seq_k, p.key_lengths};
}

/// What the tile that probably follows on this thread reads and this one does not: its queries, the
/// keys and values at the far end of its windows, and its output rows. Tiles go from the last
/// query to the first, `ahead` queries further down.
void add_next_tile(const Problem& p, std::int64_t window, const LaneTile& tile, std::int64_t ahead,
                   const Inputs& inputs, const TensorView& output, Upcoming& upcoming) {
  upcoming.clear();
  const std::int64_t b = tile.queries.batch;
  const std::int64_t last = tile.queries.query[tile.queries.lanes - 1];
  for (std::int64_t i = std::max<std::int64_t>(0, tile.queries.query[0] - ahead); i <= last - ahead;
       ++i) {
    for (std::int64_t h = tile.kv_head * p.group(); h < (tile.kv_head + 1) * p.group(); ++h) {
      upcoming.add(inputs.q.row(b, h, i), p.dim_qk);
      upcoming.add(output.row(b, h, i), p.dim_v);
    }
    const std::int64_t key = i + p.diagonal() - window;
    if (key < 0 || key >= p.seq_k) continue;
    upcoming.add(inputs.k.row(b, tile.kv_head, key), p.dim_qk);
    upcoming.add(inputs.v.row(b, tile.kv_head, key), p.dim_v);
  }
}

/// Hidden units, padded: 4 vectors of AVX-512.
std::int64_t padded_units(std::int64_t hidden) { return (hidden + 31) / 32 * 32; }

std::size_t per_thread(std::size_t floats, int threads) {
  return static_cast<std::size_t>(threads) * workspace_take_bytes(floats);
}

}  // namespace

std::size_t monotonic_floats(const Problem& p) {
  return static_cast<std::size_t>((kKeyBlock + p.dim_v + 3 + p.dim_qk) * kTileQueries);
}

std::int64_t window_floats(const Problem& p, std::int64_t window) {
  return (std::min(2 * window + 1, p.seq_k) + 15) / 16 * 16;
}

std::size_t prediction_doubles(std::int64_t dim, std::int64_t padded_hidden) {
  return static_cast<std::size_t>(kNetworkQueries * (dim + padded_hidden));
}

GaussianTable::GaussianTable(const Problem& p, std::int64_t window) {
  // Pairs of a tile that its mask forbids are looked up as well, and lanes that it does not have.
  const std::int64_t reach =
      std::min(window, std::max(p.seq_q, p.seq_k)) + std::int64_t{2} * kTileQueries;
  const std::int64_t group = p.group();
  zero_ = reach * group;
  values_.reserve(static_cast<std::size_t>((2 * reach + 1) * group));
  for (std::int64_t x = -reach; x <= reach; ++x) {
    const double ratio = 2 * static_cast<double>(x) / static_cast<double>(window);  // x / sigma
    values_.insert(values_.end(), static_cast<std::size_t>(group),
                   static_cast<float>(std::exp(-ratio * ratio / 2)));
  }
}

void monotonic_window_attention(const Problem& p, std::int64_t window,
                                const GaussianTable& gaussian, const Inputs& inputs,
                                TensorView output, Workspace& workspace, Executor& executor) {
  const WindowPattern base = monotonic_pattern(p, window);
  const ProblemPattern pattern(p, base);
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(workspace, monotonic_floats(p), executor.threads());
  PerThread<std::vector<KeyRun>> runs(executor.threads());
  PerThread<Upcoming> upcoming(executor.threads());
  const bool look_ahead = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const int width = (*pattern).tile_queries(p.group());
  const std::int64_t ahead = std::max<std::int64_t>(1, width / p.group()) * executor.threads();
  for_each_lane_tile(p, width, inputs.q, output, executor, [&](LaneTile& tile, int slot) {
    const std::int64_t b = tile.queries.batch;
    const auto at = static_cast<std::size_t>(slot);
    if (look_ahead) add_next_tile(p, window, tile, ahead, inputs, output, upcoming[slot]);
    run_monotonic_tile({p, tile, *pattern, shaping.view(), runs[slot], gaussian,
                        inputs.k.row(b, tile.kv_head, 0), inputs.k.stride[2],
                        inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2], scratch[at],
                        look_ahead ? &upcoming[slot] : nullptr});
  });
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

/// What a thread needs for a block of queries.
struct PredictionScratch {
  PredictionScratch(const Problem& p, std::int64_t window, float* block)
      : positions(reinterpret_cast<double*>(block)),
        weights(block + std::ptrdiff_t{2} * kPredictedBlock),
        order(reinterpret_cast<std::int32_t*>(weights +
                                              window_floats(p, window) * kPredictedQueries)),
        network(reinterpret_cast<double*>(order + kPredictedBlock)) {}
  static std::size_t floats(const Problem& p, std::int64_t window, std::int64_t hidden) {
    return static_cast<std::size_t>(std::int64_t{3} * kPredictedBlock +
                                    window_floats(p, window) * kPredictedQueries) +
           2 * prediction_doubles(p.dim_qk, padded_units(hidden));
  }
  double* positions;    // [kPredictedBlock]
  float* weights;       // [kPredictedQueries][window_floats()]
  std::int32_t* order;  // [kPredictedBlock]
  double* network;      // prediction_doubles()
};

/// Lanes of a block: many where there are enough blocks for the threads, whole tiles.
std::int64_t predicted_block(const Problem& p, int threads) {
  const std::int64_t lanes = p.seq_q * p.group();
  const std::int64_t share = p.batch * p.heads_kv * lanes / (std::int64_t{8} * threads);
  const std::int64_t tiles = std::max<std::int64_t>(1, share / kPredictedQueries);
  return std::min<std::int64_t>(kPredictedBlock, tiles * kPredictedQueries);
}

/// order[0, count): the indices of positions in [0, keys], by position, in steps of some keys.
void order_by_position(const double* positions, int count, std::int64_t keys, std::int32_t* order) {
  constexpr int kSteps = 1024;
  const double scale = kSteps / static_cast<double>(keys);
  const auto step = [&](int i) {
    return static_cast<std::size_t>(std::min(std::max(0.0, scale * positions[i]), kSteps - 1.0));
  };
  std::int32_t ends[kSteps] = {};
  for (int i = 0; i < count; ++i) ++ends[step(i)];
  std::partial_sum(std::begin(ends), std::end(ends), std::begin(ends));
  for (int i = count - 1; i >= 0; --i) order[--ends[step(i)]] = i;
}

/// Lanes of one head of keys: their positions are predicted, then their windows are visited in the
/// order of the keys.
class PredictedBlock {
 public:
  PredictedBlock(const Problem& problem, const PositionNetwork& network, std::int64_t window,
                 const Inputs& inputs, TensorView output, LogitShaping shaping,
                 const PredictionScratch& scratch)
      : problem_(problem),
        network_(network),
        window_(window),
        inputs_(inputs),
        output_(output),
        shaping_(shaping),
        scratch_(scratch) {}

  /// Lanes [begin, begin + count) of a head. `upcoming` is this thread's, or null.
  void run(std::int64_t batch, std::int64_t kv_head, std::int64_t begin, int count,
           Upcoming* upcoming) {
    Tile tiles[2];
    const auto start = [&](Tile& tile) {
      tile.lanes = LaneTile{};
      tile.lanes.queries.batch = batch;
      tile.lanes.kv_head = kv_head;
    };
    for (int first = 0; first < count; first += kPredictedQueries) {
      LaneTile& lanes = tiles[0].lanes;
      start(tiles[0]);
      for (int at = first; at < std::min(count, first + kPredictedQueries); ++at) {
        add_lane(problem_, inputs_.q, output_, begin + at, lanes);
      }
      predict_positions({network_, lanes.q_rows, lanes.queries.lanes, problem_.seq_k,
                         scratch_.positions + first, scratch_.network});
    }
    order_by_position(scratch_.positions, count, problem_.seq_k, scratch_.order);
    const auto place = [&](int first, Tile& tile) {
      start(tile);
      for (int at = first; at < std::min(count, first + kPredictedQueries); ++at) {
        const std::int32_t lane = scratch_.order[at];
        tile.positions[at - first] = scratch_.positions[lane];
        add_lane(problem_, inputs_.q, output_, begin + lane, tile.lanes);
      }
    };
    place(0, tiles[0]);
    for (int first = 0, now = 0; first < count; first += kPredictedQueries, now = 1 - now) {
      const bool last = first + kPredictedQueries >= count;
      if (!last) place(first + kPredictedQueries, tiles[1 - now]);
      if (upcoming != nullptr) {
        upcoming->clear();
        if (!last) add_next(tiles[now], tiles[1 - now], *upcoming);
      }
      const Rows k = keys(batch, kv_head), v = values(batch, kv_head);
      run_predicted_tile({problem_, tiles[now].lanes, shaping_, window_, tiles[now].positions,
                          k.first, k.stride, v.first, v.stride, scratch_.weights, upcoming});
    }
  }

 private:
  static constexpr std::int64_t kMostFloatsAhead = std::int64_t{1} << 15;  // 128 KiB.
  struct Tile {
    LaneTile lanes;
    double positions[kPredictedQueries];
  };
  struct Rows {
    const float* first;
    std::int64_t stride;
  };
  struct Reach {
    std::int64_t begin;
    std::int64_t end;
  };

  Rows keys(std::int64_t batch, std::int64_t kv_head) const {
    return {inputs_.k.row(batch, kv_head, 0), inputs_.k.stride[2]};
  }
  Rows values(std::int64_t batch, std::int64_t kv_head) const {
    return {inputs_.v.row(batch, kv_head, 0), inputs_.v.stride[2]};
  }

  /// The keys that the tile's windows lie in.
  Reach reach(const Tile& tile) const {
    const auto [low, high] =
        std::minmax_element(tile.positions, tile.positions + tile.lanes.queries.lanes);
    const auto window = static_cast<double>(window_);
    return {index_within(*low - window, problem_.seq_k),
            index_within(*high + window + 1, problem_.seq_k)};
  }

  /// What `next` reads and `now` does not, and where it writes.
  void add_next(const Tile& now, const Tile& next, Upcoming& upcoming) const {
    const TileQueries& queries = next.lanes.queries;
    const Reach after = reach(next);
    const std::int64_t begin = std::max(after.begin, reach(now).end);
    // No more than the second-level cache keeps until then.
    const std::int64_t count =
        std::min(after.end - begin, kMostFloatsAhead / (problem_.dim_qk + problem_.dim_v));
    const Rows k = keys(queries.batch, next.lanes.kv_head);
    const Rows v = values(queries.batch, next.lanes.kv_head);
    upcoming.add_rows(k.first + begin * k.stride, k.stride, count, problem_.dim_qk);
    upcoming.add_rows(v.first + begin * v.stride, v.stride, count, problem_.dim_v);
    for (int lane = 0; lane < queries.lanes; ++lane) {
      upcoming.add(next.lanes.q_rows[lane], problem_.dim_qk);
      upcoming.add(next.lanes.out_rows[lane], problem_.dim_v);
    }
    upcoming.spread_over(std::int64_t{2} * now.lanes.queries.lanes);
  }

  const Problem& problem_;
  const PositionNetwork& network_;
  std::int64_t window_;
  const Inputs& inputs_;
  TensorView output_;
  LogitShaping shaping_;
  PredictionScratch scratch_;
};

}  // namespace

void predictive_window_attention(const Problem& p, std::int64_t window,
                                 const PositionNetwork& network, const Inputs& inputs,
                                 TensorView output, Workspace& workspace, Executor& executor) {
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(
      workspace, PredictionScratch::floats(p, window, network.hidden), executor.threads());
  PerThread<Upcoming> upcoming(executor.threads());
  const bool look_ahead = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const std::int64_t lanes = p.seq_q * p.group();
  const std::int64_t size = predicted_block(p, executor.threads());
  const std::int64_t blocks = (lanes + size - 1) / size;
  executor.parallel_for(p.batch * p.heads_kv * blocks, [&](std::int64_t index, int slot) {
    const auto at = static_cast<std::size_t>(slot);
    const std::int64_t begin = index % blocks * size;
    PredictedBlock block(p, network, window, inputs, output, shaping.view(),
                         {p, window, scratch[at]});
    block.run(index / blocks / p.heads_kv, index / blocks % p.heads_kv, begin,
              static_cast<int>(std::min(size, lanes - begin)),
              look_ahead ? &upcoming[slot] : nullptr);
  });
}

WindowWork monotonic_window_work(const Problem& p, std::int64_t window, int threads) {
  const WindowPattern base = monotonic_pattern(p, window);
  const TileVisits visits = count_visits(p, *ProblemPattern(p, base));
  return {2 * visits.pairs * static_cast<double>(p.dim_qk + p.dim_v),
          visits.pairs * (1 + LogitTerms(p).exps_per_pair()) + visits.lane_blocks,
          per_thread(monotonic_floats(p), threads)};
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
  return {2 * (rows * static_cast<double>(hidden * p.dim_qk) +
               keys * static_cast<double>(p.dim_qk + p.dim_v)),
          rows * static_cast<double>(hidden + (p.sink.empty() ? 1 : 2)) +
              keys * (2 + LogitTerms(p).exps_per_pair()),
          per_thread(PredictionScratch::floats(p, window, hidden), threads)};
}

}  // namespace attnbench::kernels
