#include "run/ready_cell.h"

#include <fmt/format.h>

#include <algorithm>

#include "attention/capture.h"
#include "kernels/isa.h"
#include "measure/environment.h"
#include "run/extra_work.h"
#include "run/reference_cache.h"
#include "run/sweep_state.h"
#include "run/verify.h"

namespace attnbench::run {
namespace {

/// Inputs beyond this are drawn again when they are needed again.
constexpr double kPooledBytes = 256.0 * 1048576;

double bytes_of(const InputTensors& tensors) {
  const std::size_t floats =
      tensors.q.buffer().size() + tensors.k.buffer().size() + tensors.v.buffer().size();
  return static_cast<double>(floats * sizeof(float));
}

double last_level_cache_bytes() {
  std::int64_t largest = 0;
  for (const measure::CacheInfo& cache : measure::read_machine().caches) {
    largest = std::max(largest, cache.bytes);
  }
  return largest > 0 ? static_cast<double>(largest) : PlanRates{}.last_level_cache_bytes;
}

Result<SweepPlan> planned(const SweepConfig& config, const Registry& registry) {
  const auto captures = load_captures(config.input);
  if (!captures) return captures.error();
  const double limit_bytes = config.memory_limit_bytes.value_or(
      0.9 * static_cast<double>(measure::available_memory_bytes()));
  return make_plan(config, registry, PlanRates{}, limit_bytes, *captures);
}

}  // namespace

std::shared_ptr<InputTensors> InputPool::inputs(const Case& spec, std::uint64_t seed) {
  const std::string key = fmt::format("{} {} {} {}", spec.problem.describe(),
                                      to_string(spec.problem.layout), spec.input, seed);
  auto& slot = held_[key];
  if (slot != nullptr) return slot;
  auto drawn = std::make_shared<InputTensors>(make_inputs(spec, seed));
  held_bytes_ += bytes_of(*drawn);
  if (held_bytes_ > kPooledBytes) {
    held_.clear();
    held_bytes_ = 0;
    return drawn;
  }
  slot = drawn;
  return drawn;
}

Result<PlannedConfig> plan_config(const std::string& config_toml, const std::string& name,
                                  const Registry& registry) {
  auto config = parse_sweep_config(config_toml, name, {}, {}, registry, kernels::available_cpus());
  if (!config) return config.error();
  if (const Status status = kernels::select_isa(config->isa); !status) return status.error();
  auto plan = planned(*config, registry);
  if (!plan) return plan.error();
  return PlannedConfig{std::move(*config), std::move(*plan)};
}

Result<std::unique_ptr<ReadyCell>> ReadyCell::make(const CaseFlags& flags, const Registry& registry,
                                                   InputPool& pool) {
  FlagTexts texts;
  std::vector<std::string> params;
  for (const auto& [name, value] : flags) {
    if (name == "param") {
      params.push_back(value);
    } else {
      texts[name] = value;
    }
  }
  const auto config =
      load_sweep_config(std::nullopt, texts, params, registry, kernels::available_cpus());
  if (!config) return config.error();
  if (const Status status = kernels::select_isa(config->isa); !status) return status.error();
  std::unique_ptr<ReadyCell> cell(new ReadyCell);
  auto plan = planned(*config, registry);
  if (!plan) return plan.error();
  cell->plan_ = std::move(*plan);
  cell->seed_ = config->seed;
  if (cell->plan_.cases.size() != 1) return usage_error("the flags select more than one case");
  const Case& spec = cell->spec();
  if (spec.skip) return unsupported_error(*spec.skip);
  auto prepared = PreparedCase::create(spec, config->seed);
  if (!prepared) return prepared.error();
  cell->prepared_ = std::move(*prepared);
  cell->tensors_ = pool.inputs(spec, config->seed);
  cell->rotation_ = std::make_unique<InputRotation>(
      *cell->tensors_, spec.problem.layout, spec.cache == CacheState::hot,
      spec.cache == CacheState::cold, last_level_cache_bytes());
  cell->output_ = make_output(spec.problem);
  cell->sampler_ = std::make_unique<measure::Sampler>(case_label(spec), [raw = cell.get()] {
    Executor& executor = raw->arenas_->at(raw->spec().threads);
    raw->prepared_->run(raw->rotation_->next(raw->spec().cache), raw->output_.view(), executor);
    if (raw->extra_units_ > 0) do_extra_work(raw->extra_units_);
  });
  return cell;
}

Status ReadyCell::verify(std::int64_t rows, ArenaPool& arenas) {
  Executor& executor = arenas.at(spec().threads);
  poison(output_);
  Status status = prepared_->try_run(tensors_->view(), output_.view(), executor);
  if (!status) return status;
  ReferenceCache references(spec().problem, tensors_->view(), seed_, rows);
  const Verification found = verify_output(*prepared_, output_.view(), references, executor);
  if (!found.passed) return Error{Error::Kind::internal, "wrong result: " + found.reason};
  return ok_status();
}

measure::TimedSample ReadyCell::time(std::int64_t iterations, std::int64_t extra_units,
                                     ArenaPool& arenas) {
  arenas_ = &arenas;
  extra_units_ = 0;
  prepared_->run(rotation_->next(spec().cache), output_.view(), arenas.at(spec().threads));
  extra_units_ = extra_units;
  return sampler_->sample(iterations);
}

void ReadyCell::repeat(std::int64_t calls, ArenaPool& arenas) {
  Executor& executor = arenas.at(spec().threads);
  for (std::int64_t i = 0; i < calls; ++i) {
    prepared_->run(rotation_->next(spec().cache), output_.view(), executor);
  }
}

}  // namespace attnbench::run
