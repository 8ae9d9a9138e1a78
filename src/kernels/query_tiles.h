// Tiles whose queries an engine chooses itself: of one block row, of one residue class, or from a
// list. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"
#include "kernels/per_thread.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// What all tiles of a call have in common.
struct TileCall {
  const Problem& problem;
  ConstTensorView q;
  TensorView out;
  SoftmaxState* states = nullptr;     ///< [B, Hq, Nq], or null.
  const LogitTerms* terms = nullptr;  ///< What is done to logits, or null.
  const ScoreModifier* modifier = nullptr;
};

/// A query, and its position as the tile's pattern counts.
struct PlacedQuery {
  std::int64_t query = 0;
  std::int64_t position = 0;
};

/// A key-value head of a batch row.
struct HeadIndex {
  std::int64_t batch = 0;
  std::int64_t head = 0;
};

/// Lanes of the tile that begins at lane `begin` of lanes up to `end`.
inline int lanes_until(std::int64_t begin, std::int64_t end) {
  return static_cast<int>(std::min<std::int64_t>(kTileQueries, end - begin));
}

/// Lanes [begin, begin + lanes) of a list of queries, each with all query heads of its group (heads
/// fastest); place(n) is the list's n-th query. Positions must not decrease.
template <class Place>
void place_lanes(const Problem& problem, const HeadIndex& at, std::int64_t begin, int lanes,
                 Place place, TileQueries& queries) {
  queries.batch = at.batch;
  queries.lanes = lanes;
  std::int64_t n = begin / problem.group(), head = begin % problem.group();
  for (int lane = 0; lane < lanes; ++lane) {
    const PlacedQuery placed = place(n);
    queries.position[lane] = placed.position;
    queries.query[lane] = placed.query;
    queries.head[lane] = at.head * problem.group() + head;
    if (++head == problem.group()) {
      head = 0;
      ++n;
    }
  }
}

/// Everything of a job but its sources, pattern and scratch.
template <class Place>
void fill_job(const TileCall& call, const HeadIndex& at, std::int64_t begin, int lanes, Place place,
              TileJob& job) {
  const Problem& p = call.problem;
  place_lanes(p, at, begin, lanes, place, job.queries);
  for (int lane = 0; lane < lanes; ++lane) {
    const std::int64_t i = job.queries.query[lane];
    const std::int64_t h = job.queries.head[lane];
    job.q_rows[lane] = call.q.row(at.batch, h, i);
    job.out_rows[lane] = call.out.row(at.batch, h, i);
    if (call.states != nullptr) {
      job.states[lane] = call.states + (at.batch * p.heads_q + h) * p.seq_q + i;
    }
  }
  job.terms = call.terms;
  job.dim_qk = p.dim_qk;
  job.dim_v = p.dim_v;
  job.scale = p.scale_or_default();
  job.modifier = call.modifier;
}

/// The keys and values of a head where they are.
inline SourceRows source_rows(const Inputs& inputs, const HeadIndex& at) {
  return {inputs.k.row(at.batch, at.head, 0), inputs.k.stride[2],
          inputs.v.row(at.batch, at.head, 0), inputs.v.stride[2]};
}

/// One tile's scratch for every thread, and its runs.
class TileScratch {
 public:
  TileScratch(const Problem& p, int threads, Workspace& workspace) : runs_(threads) {
    for (int slot = 0; slot < threads; ++slot) {
      scratch_.push_back(workspace.take(tile_scratch_floats(p.dim_qk, p.dim_v)));
    }
  }
  /// What it takes from the workspace.
  static std::size_t bytes(const Problem& p, int threads) {
    return static_cast<std::size_t>(threads) *
           workspace_take_bytes(tile_scratch_floats(p.dim_qk, p.dim_v));
  }
  /// The scratch of a slot.
  float* of(int slot) const { return scratch_[static_cast<std::size_t>(slot)]; }
  /// Lends this slot's storage to a job.
  void lend(int slot, TileJob& job) {
    job.scratch = scratch_[static_cast<std::size_t>(slot)];
    job.runs = &runs_[slot];
  }

 private:
  std::vector<float*> scratch_;
  PerThread<std::vector<KeyRun>> runs_;
};

/// a / b, rounded down; b > 0.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

}  // namespace attnbench::kernels
