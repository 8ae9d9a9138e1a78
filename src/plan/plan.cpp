#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "attention/score_terms.h"
#include "plan/predict.h"

namespace attnbench {
namespace {

constexpr double kMebibyte = 1048576;

/// A variant with one combination of its parameters.
struct Contestant {
  const Variant* variant = nullptr;
  ParamValues params;
  std::optional<std::string> refused;  ///< Why the parameters do not go together.
};

/// Every combination of the values, in order of the names, the last name varying fastest.
std::vector<std::map<std::string, std::string>> combinations(
    const std::map<std::string, std::vector<std::string>>& sweeps) {
  std::vector<std::map<std::string, std::string>> result{{}};
  for (const auto& [name, values] : sweeps) {
    std::vector<std::map<std::string, std::string>> extended;
    for (const auto& partial : result) {
      for (const std::string& value : values) {
        extended.push_back(partial);
        extended.back()[name] = value;
      }
    }
    result = std::move(extended);
  }
  return result;
}

std::vector<Contestant> make_contestants(const SweepConfig& config, const Registry& registry) {
  std::vector<Contestant> contestants;
  for (const std::string& name : config.variants) {
    const Variant* variant = registry.find(name);
    if (variant == nullptr) continue;  // load_sweep_config has checked the names.
    const auto sweeps = config.params.find(name);
    const auto given = combinations(sweeps == config.params.end()
                                        ? std::map<std::string, std::vector<std::string>>{}
                                        : sweeps->second);
    for (const auto& combination : given) {
      auto params = resolve_params(name, variant->info().params, combination);
      if (params) {
        contestants.push_back({variant, *params, std::nullopt});
      } else {
        ParamValues as_given;
        for (const auto& [param, value] : combination) as_given.set(param, value);
        contestants.push_back({variant, as_given, params.error().message});
      }
    }
  }
  return contestants;
}

/// What all cells of a group share.
struct GroupKey {
  Problem problem;
  std::string input;
  std::shared_ptr<const Capture> capture;
};

/// Calls `use` for the problem under every mask of the sweep.
template <class Use>
void for_each_mask(const SweepConfig& config, Problem problem, Use use) {
  for (const bool causal : config.causal) {
    problem.causal = causal;
    for (const KeyLengthsChoice& choice : config.key_lengths) {
      problem.key_lengths = choice.lengths.values;
      problem.key_lengths_name = choice.lengths.name;
      for (const MaskChoice& mask : config.mask) {
        problem.mask = mask.mask;
        use(problem);
      }
    }
  }
}

/// Calls `use` for everything that the sweep does to rows and logits. Whether with a sink is only
/// told: it has one logit per query head, of which a recording may have others.
template <class Use>
void for_each_scoring(const SweepConfig& config, Problem problem, Use use) {
  for (const Position position : config.position) {
    problem.position = position;
    problem.rope = position == Position::rope ? config.rope : Rope();
    for (const auto& softcap : config.softcap) {
      problem.softcap = softcap;
      for (const bool sink : config.sink) use(problem, sink);
    }
  }
}

/// Calls `use` for every combination of the axes that make a problem, in the order of make_plan.
template <class Use>
void for_each_shape(const SweepConfig& config, Use use) {
  const auto or_equal = [](const std::vector<std::int64_t>& values, std::int64_t equal) {
    return values.empty() ? std::vector<std::int64_t>{equal} : values;
  };
  for (const Pass pass : config.pass) {
    for (const std::int64_t batch : config.batch) {
      for (const std::int64_t heads : config.heads) {
        for (const std::int64_t kv_heads : or_equal(config.kv_heads, heads)) {
          for (const std::int64_t dim : config.dim) {
            for (const std::int64_t dim_v : or_equal(config.dim_v, dim)) {
              Problem problem;
              problem.batch = batch;
              problem.heads_q = heads;
              problem.heads_kv = kv_heads;
              problem.dim_qk = dim;
              problem.dim_v = dim_v;
              problem.pass = pass;
              problem.layout = config.layout;
              problem.scale = config.scale;
              for_each_mask(config, problem,
                            [&](const Problem& masked) { for_each_scoring(config, masked, use); });
            }
          }
        }
      }
    }
  }
}

/// The lengths and the mode of a cell (make_plan says how they follow from mode and seq).
void set_lengths(const SweepConfig& config, std::int64_t seq, std::int64_t seq_k,
                 Problem& problem) {
  problem.mode = config.mode;
  problem.seq_q = seq;
  problem.seq_k = seq_k;
  if (config.mode == Mode::decode) {
    problem.seq_q = config.decode_seq_q;
    problem.seq_k = seq;
  } else if (config.mode == Mode::self && seq != seq_k) {
    problem.mode = Mode::cross;
  }
}

std::vector<GroupKey> make_groups(const SweepConfig& config, const CaptureSet& captures) {
  std::vector<GroupKey> groups;
  // A capture has one shape: it takes part once for each pass and mask.
  std::set<std::tuple<std::string, Pass, bool, std::string, Position, double, bool>> recorded;
  const bool crossed = config.mode != Mode::decode && !config.seq_k.empty();
  for_each_shape(config, [&](const Problem& shape, bool sink) {
    for (const std::string& input : config.input) {
      const auto found = captures.find(input);
      const auto capture = found == captures.end() ? nullptr : found->second;
      if (is_capture(input) && !recorded
                                    .emplace(input, shape.pass, shape.causal, mask_text(shape),
                                             shape.position, shape.softcap.value_or(0), sink)
                                    .second)
        continue;
      Problem problem = capture ? with_capture_shape(shape, *capture) : shape;
      if (sink) problem.sink = draw_sink(problem.heads_q, config.seed);
      for (const std::int64_t seq : config.seq) {
        for (const std::int64_t seq_k : crossed ? config.seq_k : std::vector<std::int64_t>{seq}) {
          set_lengths(config, seq, seq_k, problem);
          groups.push_back({problem, input, capture});
        }
      }
    }
  });
  return groups;
}

/// Why no variant can run this problem on this input.
std::optional<std::string> problem_refusal(const GroupKey& key) {
  const Problem& problem = key.problem;
  if (problem.heads_q % problem.heads_kv != 0) {
    return fmt::format("heads {} is not a multiple of kv-heads {}", problem.heads_q,
                       problem.heads_kv);
  }
  if (const Status status = validate(problem); !status) return status.error().message;
  if (problem.mode == Mode::decode && problem.seq_q > problem.seq_k) {
    return fmt::format("decode: {} queries do not fit a key length of {}", problem.seq_q,
                       problem.seq_k);
  }
  if (problem.mode == Mode::generate) return "no variant has a generate mode";
  if (problem.pass == Pass::fwd_bwd) return "no variant has a backward pass";
  if (key.capture) return capture_refusal(*key.capture, problem);
  if (is_capture(key.input)) return "the recorded inputs were not loaded";
  return std::nullopt;
}

std::string memory_refusal(const char* what, double bytes, double limit) {
  return fmt::format("{} {:.1f} MiB, more than the memory limit of {:.1f} MiB", what,
                     bytes / kMebibyte, limit / kMebibyte);
}

/// Lays out the cells of a plan, one by one.
class Planner {
 public:
  Planner(const SweepConfig& config, const PlanRates& rates, double memory_limit_bytes)
      : rates_(rates), limit_(memory_limit_bytes) {
    // The copies that cold cases rotate lie beside the hot cases of their group.
    if (std::ranges::find(config.cache, CacheState::cold) != config.cache.end()) {
      group_cache_ = CacheState::cold;
      both_caches_ = config.cache.size() > 1;
    }
  }

  Case make_case(const GroupKey& key, const Contestant& contestant, int threads, CacheState cache,
                 int group) const {
    Case cell;
    cell.variant = contestant.variant;
    cell.params = contestant.params;
    cell.problem = key.problem;
    cell.threads = threads;
    cell.input = key.capture ? key.capture->label : key.input;
    cell.capture = key.capture;
    cell.cache = cache;
    cell.group = group;
    cell.laws = contestant.variant->info().laws;
    cell.skip = contestant.refused;
    if (!cell.skip) {
      cell.laws = contestant.variant->laws_on(key.problem, contestant.params);
      cell.skip = problem_refusal(key);
    }
    if (!cell.skip) {
      cell.skip = contestant.variant->refusal(key.problem, contestant.params);
    }
    if (!cell.skip) predict(cell);
    return cell;
  }

 private:
  void predict(Case& cell) const {
    cell.predicted_bytes = plan::tensor_bytes(cell.problem, group_cache_, rates_) +
                           plan::reference_bytes(cell.problem);
    if (both_caches_) {
      cell.predicted_bytes += plan::tensor_bytes(cell.problem, CacheState::hot, rates_);
    }
    if (cell.capture) cell.predicted_bytes += cell.capture->bytes();
    if (cell.predicted_bytes > limit_) {
      cell.skip = memory_refusal("the tensors alone need", cell.predicted_bytes, limit_);
      return;  // Before a cost model meets sizes that overflow its arithmetic.
    }
    cell.cost = cell.variant->cost(cell.problem, cell.params, cell.threads);
    cell.predicted_time_s = plan::call_time_s(cell.cost, cell.threads, rates_);
    cell.predicted_bytes += static_cast<double>(cell.cost.workspace_bytes);
    if (cell.predicted_bytes > limit_) {
      cell.skip = memory_refusal("needs", cell.predicted_bytes, limit_);
    }
  }

  const PlanRates& rates_;
  double limit_;
  CacheState group_cache_ = CacheState::hot;
  bool both_caches_ = false;
};

}  // namespace

std::int64_t SweepPlan::runnable() const {
  return std::ranges::count_if(cases, [](const Case& cell) { return !cell.skip; });
}

InputTensors make_inputs(const Case& cell, std::uint64_t seed) {
  return cell.capture ? cut_inputs(*cell.capture, cell.problem)
                      : draw_inputs(cell.problem, cell.input, seed);
}

SweepPlan make_plan(const SweepConfig& config, const Registry& registry, const PlanRates& rates,
                    double memory_limit_bytes, const CaptureSet& captures) {
  SweepPlan plan;
  plan.budget_s = config.budget_s;
  plan.memory_limit_bytes = memory_limit_bytes;
  const Planner planner(config, rates, memory_limit_bytes);
  const std::vector<Contestant> contestants = make_contestants(config, registry);
  int group = 0;
  for (const GroupKey& key : make_groups(config, captures)) {
    for (const Contestant& contestant : contestants) {
      for (const std::int64_t threads : config.threads) {
        for (const CacheState cache : config.cache) {
          plan.cases.push_back(
              planner.make_case(key, contestant, static_cast<int>(threads), cache, group));
        }
      }
    }
    ++group;
  }
  plan::predict_totals(config, rates, plan);
  return plan;
}

}  // namespace attnbench
