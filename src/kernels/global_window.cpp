#include "kernels/global_window.h"

#include <algorithm>
#include <utility>

#include "kernels/class_pattern.h"
#include "kernels/masked_pattern.h"
#include "kernels/per_thread.h"
#include "kernels/placed_rows.h"
#include "kernels/query_tiles.h"
#include "kernels/residue_class.h"
#include "kernels/shared_heads.h"
#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// Consecutive lanes of one residue class that one task runs.
struct ClassTask {
  std::int64_t residue = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Which queries go into which tiles; the same for all heads.
struct Schedule {
  std::vector<PlacedQuery> globals;               ///< Queries at global positions.
  std::vector<std::vector<PlacedQuery>> classes;  ///< All others, by residue.
  std::vector<ClassTask> tasks;

  Schedule(const Problem& p, const GlobalWindow& g);
};

Schedule::Schedule(const Problem& p, const GlobalWindow& g) {
  for (std::int64_t r = 0; r < g.dilation; ++r) {
    const ResidueClass c = residue_class(p, g.dilation, r);
    std::vector<PlacedQuery> queries;
    for (std::int64_t n = 0; n < c.queries; ++n) {
      const PlacedQuery placed = c.place(n);
      const std::int64_t position = placed.query + p.diagonal();
      if (!std::ranges::binary_search(g.globals, position)) queries.push_back(placed);
    }
    // A gathered class is one task; natural order needs no gathering, and every tile is one.
    const std::int64_t lanes = static_cast<std::int64_t>(queries.size()) * p.group();
    const std::int64_t step = g.dilation > 1 ? std::max<std::int64_t>(lanes, 1) : kTileQueries;
    for (std::int64_t lane = 0; lane < lanes; lane += step) {
      tasks.push_back({r, lane, std::min(lane + step, lanes)});
    }
    classes.push_back(std::move(queries));
  }
  for (std::int64_t j : g.globals) {
    const std::int64_t i = j - p.diagonal();
    if (i >= 0 && i < p.seq_q) globals.push_back({i, i});
  }
}

WindowPattern base_pattern(const Problem& p) {
  return {WindowPattern::kUnlimited, p.causal ? 0 : WindowPattern::kUnlimited, p.diagonal(),
          p.seq_k, p.key_lengths};
}

auto placer(const std::vector<PlacedQuery>& queries) {
  return [&queries](std::int64_t n) { return queries[static_cast<std::size_t>(n)]; };
}

/// Keys [begin, end) of a class that a task's windows reach.
struct KeyRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

KeyRange reached_keys(const Problem& p, const GlobalWindow& g, const Schedule& schedule,
                      const ClassTask& task, std::int64_t b) {
  if (g.dilation == 1) return {0, p.key_length(b)};  // Read where they are.
  const auto& queries = schedule.classes[static_cast<std::size_t>(task.residue)];
  const std::int64_t keys = class_keys(p.key_length(b), g.dilation, task.residue);
  const std::int64_t last = queries.back().position + (p.causal ? 0 : g.window);
  const std::int64_t begin = std::clamp<std::int64_t>(queries.front().position - g.window, 0, keys);
  return {begin, std::clamp<std::int64_t>(last + 1, begin, keys)};
}

/// Most keys of a class that are gathered at a time.
std::int64_t gathered_limit(const Problem& p, const GlobalWindow& g) {
  return g.dilation > 1 ? class_keys_limit(p, g.dilation) : 0;
}

TileWork global_window_work(const Problem& p, const GlobalWindow& g) {
  const Schedule schedule(p, g);
  const WindowPattern window = base_pattern(p);
  const ProblemPattern base(p, window);
  TileWork total;
  std::vector<KeyRun> runs;
  TileQueries queries;
  const std::int64_t global_lanes = static_cast<std::int64_t>(schedule.globals.size()) * p.group();
  for_each_distinct_head(p, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t lane = 0; lane < global_lanes; lane += kTileQueries) {
      place_lanes(p, {b, head}, lane, lanes_until(lane, global_lanes), placer(schedule.globals),
                  queries);
      total.add(tile_work(queries, *base, runs, p.dim_v), heads);
    }
    for (const ClassTask& task : schedule.tasks) {
      const KeyRange keys = reached_keys(p, g, schedule, task, b);
      const ClassPattern classes(p, g, task.residue, b, keys.begin);
      const ProblemPattern pattern(p, classes);
      const auto& placed = schedule.classes[static_cast<std::size_t>(task.residue)];
      for (std::int64_t lane = task.begin; lane < task.end; lane += kTileQueries) {
        place_lanes(p, {b, head}, lane, lanes_until(lane, task.end), placer(placed), queries);
        total.add(tile_work(queries, *pattern, runs, p.dim_v), heads);
      }
    }
  });
  return total;
}

/// Gathered rows of K and V.
struct GatheredRows {
  float* k = nullptr;
  float* v = nullptr;
};

std::size_t gathered_bytes(const Problem& p, std::int64_t rows) {
  return workspace_take_bytes(static_cast<std::size_t>(rows * p.dim_qk)) +
         workspace_take_bytes(static_cast<std::size_t>(rows * p.dim_v));
}

GatheredRows take_rows(const Problem& p, std::int64_t rows, Workspace& workspace) {
  float* k = workspace.take(static_cast<std::size_t>(rows * p.dim_qk));
  return {k, workspace.take(static_cast<std::size_t>(rows * p.dim_v))};
}

std::int64_t all_global_rows(const Problem& p, const GlobalWindow& g) {
  return p.batch * p.heads_kv * static_cast<std::int64_t>(g.globals.size());
}

class GlobalWindowPlan final : public Plan {
 public:
  GlobalWindowPlan(const Problem& problem, GlobalWindow pattern)
      : problem_(problem),
        terms_(problem),
        pattern_(std::move(pattern)),
        schedule_(problem_, pattern_),
        window_(base_pattern(problem_)),
        base_(problem_, window_),
        modifier_(make_score_modifier(problem_)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override;

 private:
  /// What one call's tasks share.
  struct Call {
    const Inputs& inputs;
    TileCall tiles;
    TileScratch scratch;
    GatheredRows globals;                ///< [B, Hkv, globals].
    std::vector<GatheredRows> gathered;  ///< Keys of a class, by slot.
  };

  /// Tiles of the queries of one head at global positions.
  std::int64_t global_tiles() const {
    const auto queries = static_cast<std::int64_t>(schedule_.globals.size());
    return (queries * problem_.group() + kTileQueries - 1) / kTileQueries;
  }
  SourceRows global_rows(const Call& call, const HeadIndex& at) const;
  void gather_globals(const Call& call, const HeadIndex& at) const;
  void run_globals(Call& call, const HeadIndex& at, std::int64_t lane, int slot) const;
  void run_class(Call& call, const HeadIndex& at, const ClassTask& task, int slot) const;
  void run_windows(Call& call, Executor& executor) const;

  Problem problem_;
  LogitTerms terms_;
  GlobalWindow pattern_;
  Schedule schedule_;
  WindowPattern window_;
  ProblemPattern base_;  ///< Refers to the window.
  std::unique_ptr<const ScoreModifier> modifier_;
};

void GlobalWindowPlan::gather_globals(const Call& call, const HeadIndex& at) const {
  const auto count = static_cast<std::int64_t>(pattern_.globals.size());
  const std::int64_t first = (at.batch * problem_.heads_kv + at.head) * count;
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int64_t j = pattern_.globals[static_cast<std::size_t>(s)];
    if (j >= problem_.key_length(at.batch)) return;
    copy_rows(call.inputs.k, at, j, 1, 1, call.globals.k + (first + s) * problem_.dim_qk);
    copy_rows(call.inputs.v, at, j, 1, 1, call.globals.v + (first + s) * problem_.dim_v);
  }
}

void GlobalWindowPlan::run_globals(Call& call, const HeadIndex& at, std::int64_t lane,
                                   int slot) const {
  const std::int64_t lanes = static_cast<std::int64_t>(schedule_.globals.size()) * problem_.group();
  TileJob job;
  fill_job(call.tiles, at, lane, lanes_until(lane, lanes), placer(schedule_.globals), job);
  const SourceRows source[] = {source_rows(call.inputs, at)};
  job.sources = source;
  job.pattern = &*base_;
  call.scratch.lend(slot, job);
  run_tile(job);
}

SourceRows GlobalWindowPlan::global_rows(const Call& call, const HeadIndex& at) const {
  const std::int64_t first =
      (at.batch * problem_.heads_kv + at.head) * static_cast<std::int64_t>(pattern_.globals.size());
  return {call.globals.k + first * problem_.dim_qk, problem_.dim_qk,
          call.globals.v + first * problem_.dim_v, problem_.dim_v};
}

/// Without a dilation keys are read where they are, and every task is one tile.
void GlobalWindowPlan::run_windows(Call& call, Executor& executor) const {
  const Problem& p = problem_;
  struct RowPattern {
    RowPattern(const Problem& problem, const GlobalWindow& g, std::int64_t b)
        : classes(problem, g, 0, b, 0), masked(problem, classes) {}
    ClassPattern classes;
    ProblemPattern masked;  // Refers to it.
  };
  std::vector<std::unique_ptr<const RowPattern>> patterns;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    patterns.push_back(std::make_unique<const RowPattern>(p, pattern_, b));
  }
  PerThread<TileSequence> sequences(executor.threads(),
                                    [&](int slot) { return TileSequence(call.scratch.of(slot)); });
  const std::int64_t heads = p.batch * p.heads_kv;
  const auto tasks = static_cast<std::int64_t>(schedule_.tasks.size());
  const auto fill = [&](std::int64_t index, TileJob& job, SourceRows* sources) {
    const HeadIndex at{index / tasks / p.heads_kv, index / tasks % p.heads_kv};
    const ClassTask& task = schedule_.tasks[static_cast<std::size_t>(index % tasks)];
    fill_job(call.tiles, at, task.begin, static_cast<int>(task.end - task.begin),
             placer(schedule_.classes[0]), job);
    sources[0] = source_rows(call.inputs, at);
    sources[1] = global_rows(call, at);
    job.sources = {sources, 2};
    job.pattern = &*patterns[static_cast<std::size_t>(at.batch)]->masked;
  };
  const bool look_ahead = heads * head_bytes(p) > kNearBytes;
  const std::int64_t globals = global_tiles();
  const auto window_at = [&](const PieceIndex& piece) {
    return piece.index < globals ? TileSequence::kNone : piece.head * tasks + piece.index - globals;
  };
  // Neighbouring tiles on one thread: each reads what the last one has brought, and some more.
  share_heads<1>(heads, {globals + tasks}, executor, [&](const HeadPiece& piece, int slot) {
    const std::int64_t window = window_at({piece.head, piece.index});
    if (window == TileSequence::kNone) {
      const HeadIndex at{piece.head / p.heads_kv, piece.head % p.heads_kv};
      return run_globals(call, at, piece.index * kTileQueries, slot);
    }
    sequences[slot].run(
        window, look_ahead && piece.next ? window_at(*piece.next) : TileSequence::kNone, fill);
  });
}

void GlobalWindowPlan::run_class(Call& call, const HeadIndex& at, const ClassTask& task,
                                 int slot) const {
  const Problem& p = problem_;
  const KeyRange keys = reached_keys(p, pattern_, schedule_, task, at.batch);
  const GatheredRows& to = call.gathered[static_cast<std::size_t>(slot)];
  const std::int64_t first = task.residue + keys.begin * pattern_.dilation;
  copy_rows(call.inputs.k, at, first, pattern_.dilation, keys.end - keys.begin, to.k);
  copy_rows(call.inputs.v, at, first, pattern_.dilation, keys.end - keys.begin, to.v);
  const SourceRows sources[] = {{to.k, p.dim_qk, to.v, p.dim_v}, global_rows(call, at)};
  const ClassPattern classes(p, pattern_, task.residue, at.batch, keys.begin);
  const ProblemPattern pattern(p, classes);
  const auto& placed = schedule_.classes[static_cast<std::size_t>(task.residue)];
  for (std::int64_t lane = task.begin; lane < task.end; lane += kTileQueries) {
    TileJob job;
    fill_job(call.tiles, at, lane, lanes_until(lane, task.end), placer(placed), job);
    job.sources = sources;
    job.pattern = &*pattern;
    call.scratch.lend(slot, job);
    run_tile(job);
  }
}

void GlobalWindowPlan::run(const Inputs& inputs, TensorView output, Workspace& workspace,
                           Executor& executor) {
  const Problem& p = problem_;
  Call call{inputs,
            {p, inputs.q, output, nullptr, terms_.if_any(), modifier_.get()},
            {p, executor.threads(), workspace},
            take_rows(p, all_global_rows(p, pattern_), workspace),
            {}};
  for (int slot = 0; slot < executor.threads(); ++slot) {
    call.gathered.push_back(take_rows(p, gathered_limit(p, pattern_), workspace));
  }
  const std::int64_t heads = p.batch * p.heads_kv;
  const auto head_at = [&](std::int64_t head) {
    return HeadIndex{head / p.heads_kv, head % p.heads_kv};
  };
  if (!pattern_.globals.empty()) {
    executor.parallel_for(heads,
                          [&](std::int64_t head, int) { gather_globals(call, head_at(head)); });
  }
  if (pattern_.dilation == 1) return run_windows(call, executor);
  const auto tasks = static_cast<std::int64_t>(schedule_.tasks.size());
  const std::int64_t globals = global_tiles(), first_task = heads * globals;
  executor.parallel_for(first_task + heads * tasks, [&](std::int64_t index, int slot) {
    if (index < first_task) {
      return run_globals(call, head_at(index / globals), index % globals * kTileQueries, slot);
    }
    const std::int64_t at = index - first_task;
    run_class(call, head_at(at / tasks), schedule_.tasks[static_cast<std::size_t>(at % tasks)],
              slot);
  });
}

}  // namespace

std::unique_ptr<Plan> make_global_window_plan(const Problem& problem, GlobalWindow pattern) {
  return with_placed_rows(problem, std::make_unique<GlobalWindowPlan>(problem, std::move(pattern)));
}

Cost global_window_cost(const Problem& problem, const GlobalWindow& pattern, int threads) {
  const TileWork work = global_window_work(problem, pattern);
  Cost cost;
  cost.performed_flops = work.flops(problem.dim_qk, problem.dim_v);
  cost.exp_count = work.exps_with(LogitTerms(problem));
  cost.min_bytes = compulsory_bytes(problem);
  cost.traffic_bytes = cost.min_bytes;
  cost.useful_flops = dense_flops(problem);
  cost.workspace_bytes =
      TileScratch::bytes(problem, threads) +
      gathered_bytes(problem, all_global_rows(problem, pattern)) +
      static_cast<std::size_t>(threads) * gathered_bytes(problem, gathered_limit(problem, pattern));
  add_placed_rows_cost(problem, cost);
  return cost;
}

}  // namespace attnbench::kernels
