#include "kernels/global_window.h"

#include <algorithm>
#include <utility>

#include "kernels/masked_pattern.h"
#include "kernels/placed_rows.h"
#include "kernels/query_tiles.h"
#include "kernels/residue_class.h"

namespace attnbench::kernels {
namespace {

/// What the queries of one residue class read, for one batch row: source 0 has the keys of the
/// class (from the first_key-th on), source 1 the global keys. Positions are in class coordinates.
class ClassPattern final : public KeyPattern {
 public:
  ClassPattern(const Problem& p, const GlobalWindow& g, std::int64_t residue, std::int64_t batch,
               std::int64_t first_key)
      : globals_(g.globals),
        window_(g.window),
        dilation_(g.dilation),
        residue_(residue),
        causal_(p.causal),
        first_key_(first_key),
        keys_(class_keys(p.key_length(batch), g.dilation, residue)),
        columns_(std::ranges::lower_bound(g.globals, p.key_length(batch)) - g.globals.begin()) {}

  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override {
    const std::int64_t begin = low(tile.first()), end = high(tile.last());
    const std::int64_t all_from = low(tile.last()), all_to = high(tile.first());
    if (all_from < all_to) {
      add(out, 0, begin, all_from, true);
      add(out, 0, all_from, all_to, false);
      add(out, 0, all_to, end, true);
    } else {
      add(out, 0, begin, end, true);
    }
    column_runs(tile, out);
  }

  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override {
    int from = 0, to = 0;  // Lanes whose window has the key.
    for (std::int64_t at = begin; at < end; ++at) {
      if (source == 0) {
        const std::int64_t u = at + first_key_;
        while (to < tile.lanes && tile.position[to] <= u + window_) ++to;
        while (from < tile.lanes && high_position(tile.position[from]) < u) ++from;
        bits[at - begin] = lane_range(from, to);
      } else {
        bits[at - begin] = column_lanes(tile, globals_[static_cast<std::size_t>(at)]);
      }
    }
  }
  bool in_place(int source) const override { return source == 0 && dilation_ == 1; }
  std::int64_t key(int source, std::int64_t at) const override {
    if (source == 1) return globals_[static_cast<std::size_t>(at)];
    return residue_ + (at + first_key_) * dilation_;
  }

 private:
  /// The last position that a window reaches.
  std::int64_t high_position(std::int64_t t) const { return causal_ ? t : t + window_; }
  std::int64_t low(std::int64_t t) const {
    return std::clamp<std::int64_t>(t - window_, first_key_, keys_);
  }
  std::int64_t high(std::int64_t t) const {
    return std::clamp<std::int64_t>(high_position(t) + 1, first_key_, keys_);
  }
  void add(std::vector<KeyRun>& out, int source, std::int64_t begin, std::int64_t end,
           bool masked) const {
    const std::int64_t shift = source == 0 ? first_key_ : 0;
    if (begin < end) out.push_back({source, begin - shift, end - shift, masked});
  }

  /// Lanes that read global key j from source 1: it is not in their window, nor after them.
  std::uint64_t column_lanes(const TileQueries& tile, std::int64_t j) const {
    const auto count_below = [&](std::int64_t t) {
      return static_cast<int>(std::lower_bound(tile.position, tile.position + tile.lanes, t) -
                              tile.position);
    };
    std::uint64_t lanes = lane_range(0, tile.lanes);
    if (causal_) {
      // p = residue + dilation t >= j
      const std::int64_t first = -floor_div(residue_ - j, dilation_);
      lanes = lane_range(count_below(first), tile.lanes);
    }
    if (j % dilation_ == residue_) {
      const std::int64_t u = j / dilation_;
      lanes &= ~lane_range(count_below(u - window_), count_below(u + window_ + 1));
    }
    return lanes;
  }

  /// Index of the first global key that is not below j, within the batch row's length.
  std::int64_t column(std::int64_t j) const {
    return std::min(std::ranges::lower_bound(globals_, j) - globals_.begin(), columns_);
  }

  /// Runs over source 1: keys before all windows, those near them, and (not causal) those after.
  void column_runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
    const auto key = [&](std::int64_t t) { return residue_ + dilation_ * t; };
    const std::int64_t end = causal_ ? column(key(tile.last()) + 1) : columns_;
    std::int64_t from = std::min(column(key(tile.first() - window_)), end);
    std::int64_t to = causal_ ? end : std::max(column(key(tile.last() + window_) + 1), from);
    const auto is_unread = [&](std::int64_t s) {
      return column_lanes(tile, globals_[static_cast<std::size_t>(s)]) == 0;
    };
    const std::int64_t before = from, after = to;
    while (from < to && is_unread(from)) ++from;
    while (from < to && is_unread(to - 1)) --to;
    // One block instead of up to three.
    if (end <= kKeyBlock && from == before && to == after) return add(out, 1, 0, end, from < to);
    add(out, 1, 0, before, false);
    add(out, 1, from, to, true);
    add(out, 1, after, end, false);
  }

  const std::vector<std::int64_t>& globals_;
  std::int64_t window_, dilation_, residue_;
  bool causal_;
  std::int64_t first_key_, keys_, columns_;
};

/// Consecutive lanes of one residue class that one task runs.
struct ClassTask {
  std::int64_t residue = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Which queries go into which tiles; the same for all heads.
struct Schedule {
  int width = kTileQueries;
  std::vector<PlacedQuery> globals;               ///< Queries at global positions.
  std::vector<std::vector<PlacedQuery>> classes;  ///< All others, by residue.
  std::vector<ClassTask> tasks;

  Schedule(const Problem& p, const GlobalWindow& g);
};

Schedule::Schedule(const Problem& p, const GlobalWindow& g) {
  width = lanes_for_window((p.causal ? 1 : 2) * g.window + 1, p.group());
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
    const std::int64_t step = g.dilation > 1 ? std::max<std::int64_t>(lanes, 1) : width;
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
      for (std::int64_t lane = task.begin; lane < task.end; lane += schedule.width) {
        place_lanes(p, {b, head}, lane, lanes_until(lane, task.end, schedule.width), placer(placed),
                    queries);
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

  void gather_globals(const Call& call, const HeadIndex& at) const;
  void run_globals(Call& call, const HeadIndex& at, std::int64_t lane, int slot) const;
  void run_class(Call& call, const HeadIndex& at, const ClassTask& task, int slot) const;

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

SourceRows rows_of(const Inputs& inputs, const HeadIndex& at) {
  return {inputs.k.row(at.batch, at.head, 0), inputs.k.stride[2],
          inputs.v.row(at.batch, at.head, 0), inputs.v.stride[2]};
}

void GlobalWindowPlan::run_globals(Call& call, const HeadIndex& at, std::int64_t lane,
                                   int slot) const {
  const std::int64_t lanes = static_cast<std::int64_t>(schedule_.globals.size()) * problem_.group();
  TileJob job;
  fill_job(call.tiles, at, lane, lanes_until(lane, lanes), placer(schedule_.globals), job);
  const SourceRows source[] = {rows_of(call.inputs, at)};
  job.sources = source;
  job.pattern = &*base_;
  call.scratch.lend(slot, job);
  run_tile(job);
}

void GlobalWindowPlan::run_class(Call& call, const HeadIndex& at, const ClassTask& task,
                                 int slot) const {
  const Problem& p = problem_;
  const KeyRange keys = reached_keys(p, pattern_, schedule_, task, at.batch);
  const std::int64_t first_global =
      (at.batch * p.heads_kv + at.head) * static_cast<std::int64_t>(pattern_.globals.size());
  SourceRows sources[] = {rows_of(call.inputs, at),
                          {call.globals.k + first_global * p.dim_qk, p.dim_qk,
                           call.globals.v + first_global * p.dim_v, p.dim_v}};
  if (pattern_.dilation > 1) {
    const GatheredRows& to = call.gathered[static_cast<std::size_t>(slot)];
    const std::int64_t first = task.residue + keys.begin * pattern_.dilation;
    copy_rows(call.inputs.k, at, first, pattern_.dilation, keys.end - keys.begin, to.k);
    copy_rows(call.inputs.v, at, first, pattern_.dilation, keys.end - keys.begin, to.v);
    sources[0] = {to.k, p.dim_qk, to.v, p.dim_v};
  }
  const ClassPattern classes(p, pattern_, task.residue, at.batch, keys.begin);
  const ProblemPattern pattern(p, classes);
  const auto& placed = schedule_.classes[static_cast<std::size_t>(task.residue)];
  for (std::int64_t lane = task.begin; lane < task.end; lane += schedule_.width) {
    TileJob job;
    fill_job(call.tiles, at, lane, lanes_until(lane, task.end, schedule_.width), placer(placed),
             job);
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
  const std::int64_t global_lanes = static_cast<std::int64_t>(schedule_.globals.size()) * p.group();
  const std::int64_t global_tiles = (global_lanes + kTileQueries - 1) / kTileQueries;
  const auto tasks = static_cast<std::int64_t>(schedule_.tasks.size());
  const std::int64_t first_task = heads * global_tiles;
  executor.parallel_for(first_task + heads * tasks, [&](std::int64_t index, int slot) {
    if (index < first_task) {
      return run_globals(call, head_at(index / global_tiles), index % global_tiles * kTileQueries,
                         slot);
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
