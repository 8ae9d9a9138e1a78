#include <algorithm>
#include <numbers>

#include "kernels/masked_pattern.h"
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

std::int64_t wide_query_floats(const Problem& p) {
  return (std::int64_t{8} * p.dim_qk + 15) / 16 * 16;
}

std::size_t predictive_floats(const Problem& p, std::int64_t window) {
  return static_cast<std::size_t>(wide_query_floats(p) +
                                  window_floats(p, window) * kPredictedQueries);
}

void monotonic_window_attention(const Problem& p, std::int64_t window, const Inputs& inputs,
                                TensorView output, Workspace& workspace, Executor& executor) {
  const WindowPattern base = monotonic_pattern(p, window);
  const ProblemPattern pattern(p, base);
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(workspace, monotonic_floats(p), executor.threads());
  std::vector<std::vector<KeyRun>> runs(static_cast<std::size_t>(executor.threads()));
  std::vector<Upcoming> upcoming(static_cast<std::size_t>(executor.threads()));
  const bool look_ahead = p.batch * p.heads_kv * head_bytes(p) > kNearBytes;
  const int width = (*pattern).tile_queries(p.group());
  const std::int64_t ahead = std::max<std::int64_t>(1, width / p.group()) * executor.threads();
  for_each_lane_tile(p, width, inputs.q, output, executor, [&](LaneTile& tile, int slot) {
    const std::int64_t b = tile.queries.batch;
    const auto at = static_cast<std::size_t>(slot);
    if (look_ahead) add_next_tile(p, window, tile, ahead, inputs, output, upcoming[at]);
    run_monotonic_tile({p, tile, *pattern, shaping.view(), runs[at], window,
                        inputs.k.row(b, tile.kv_head, 0), inputs.k.stride[2],
                        inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2], scratch[at],
                        look_ahead ? &upcoming[at] : nullptr});
  });
}

PositionNetwork pack_position_network(std::int64_t dim, std::int64_t hidden, const float* w,
                                      const float* v) {
  PositionNetwork net;
  net.dim = dim;
  net.hidden = hidden;
  net.stride = (hidden + 31) / 32 * 32;
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

void predictive_window_attention(const Problem& p, std::int64_t window,
                                 const PositionNetwork& network, const Inputs& inputs,
                                 TensorView output, Workspace& workspace, Executor& executor) {
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(workspace, predictive_floats(p, window), executor.threads());
  for_each_lane_tile(p, kPredictedQueries, inputs.q, output, executor,
                     [&](LaneTile& tile, int slot) {
                       const std::int64_t b = tile.queries.batch;
                       run_predictive_tile({p, tile, network, shaping.view(), window,
                                            inputs.k.row(b, tile.kv_head, 0), inputs.k.stride[2],
                                            inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2],
                                            scratch[static_cast<std::size_t>(slot)]});
                     });
}

WindowWork monotonic_window_work(const Problem& p, std::int64_t window, int threads) {
  const WindowPattern base = monotonic_pattern(p, window);
  const TileVisits visits = count_visits(p, *ProblemPattern(p, base));
  return {2 * visits.pairs * static_cast<double>(p.dim_qk + p.dim_v),
          visits.pairs * (2 + LogitTerms(p).exps_per_pair()) + visits.lane_blocks,
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
          per_thread(predictive_floats(p, window), threads)};
}

}  // namespace attnbench::kernels
