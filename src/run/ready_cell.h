// A cell that is kept ready: prepared, verified and timed on demand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "attention/inputs.h"
#include "measure/sampler.h"
#include "plan/plan.h"
#include "run/arena_pool.h"
#include "run/prepared_case.h"
#include "run/repro.h"

namespace attnbench::run {

/// Input tensors by problem, kept as long as they are small: cells of one problem come again.
class InputPool {
 public:
  std::shared_ptr<InputTensors> inputs(const Case& spec, std::uint64_t seed);

 private:
  std::map<std::string, std::shared_ptr<InputTensors>> held_;
  double held_bytes_ = 0;
};

class ReadyCell {
 public:
  /// Plans the one case that `flags` select and prepares it. Errors: flags or a variant that this
  /// build does not know (usage), a case that it cannot run (unsupported), out_of_memory.
  static Result<std::unique_ptr<ReadyCell>> make(const CaseFlags& flags, const Registry& registry,
                                                 InputPool& pool);

  /// Runs once and compares at most `rows` rows with float64; an error says how it differs.
  Status verify(std::int64_t rows, ArenaPool& arenas);
  /// One warm call, then `iterations` calls, each followed by so many units of extra work.
  measure::TimedSample time(std::int64_t iterations, std::int64_t extra_units, ArenaPool& arenas);
  /// So many calls and nothing else, for counting what they execute.
  void repeat(std::int64_t calls, ArenaPool& arenas);
  /// The most workspace that a call has taken so far.
  std::size_t workspace_peak_bytes() const { return prepared_->workspace().peak_bytes(); }

  const Case& spec() const { return plan_.cases.front(); }

 private:
  ReadyCell() = default;

  SweepPlan plan_;  ///< Of one case; the prepared one points into it.
  std::uint64_t seed_ = 1;
  std::unique_ptr<PreparedCase> prepared_;
  std::shared_ptr<InputTensors> tensors_;
  std::unique_ptr<InputRotation> rotation_;
  Tensor output_;
  ArenaPool* arenas_ = nullptr;  ///< During time().
  std::int64_t extra_units_ = 0;
  std::unique_ptr<measure::Sampler> sampler_;
};

/// The sweep that `config_toml` describes, planned for this machine. `name` stands for the file in
/// messages.
struct PlannedConfig {
  SweepConfig config;
  SweepPlan plan;
};
Result<PlannedConfig> plan_config(const std::string& config_toml, const std::string& name,
                                  const Registry& registry);

}  // namespace attnbench::run
