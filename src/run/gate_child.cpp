#include "run/gate_child.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <vector>

#include "attention/error_kind.h"
#include "kernels/isa.h"
#include "measure/clock.h"
#include "measure/instruction_count.h"
#include "measure/policy.h"
#include "record/json.h"
#include "record/json_text.h"
#include "run/extra_work.h"
#include "run/ready_cell.h"
#include "run/row.h"
#include "run/sweep_state.h"

namespace attnbench::run {
namespace {

using Json = OrderedJson;

/// An Error on its way out of a request.
struct Refusal {
  Error error;
};

Json refusal(const Error& error) {
  return {{"ok", false}, {"error", kind_name(error)}, {"message", error.message}};
}

}  // namespace

class GateChild::Impl {
 public:
  explicit Impl(const Registry& registry) : registry_(registry) {}

  Json answer(const Json& request) {
    const auto what = request.at("do").get<std::string>();
    if (what == "hello") return hello();
    if (what == "plan") return plan(request);
    if (what == "prepare") return prepare(request);
    if (what == "time") return time(request);
    if (what == "calibrate") return calibrate(request);
    if (what == "count") return count(request);
    if (what == "workspace") {
      ReadyCell& cell = find(request);
      cell.repeat(1, arenas_);
      return {{"workspace_bytes", cell.workspace_peak_bytes()}};
    }
    if (what == "drop") {
      cells_.erase(request.at("id").get<std::string>());
      return Json::object();
    }
    throw Refusal{usage_error(fmt::format("unknown request '{}'", what))};
  }

 private:
  static Json hello() {
    return {{"protocol", kGateProtocol},
            {"isa", kernels::active_isa()},
            {"clock_resolution_s", measure::clock_resolution_s()}};
  }

  Json plan(const Json& request) const {
    const auto planned = plan_config(request.at("config").get<std::string>(),
                                     request.at("name").get<std::string>(), registry_);
    if (!planned) throw Refusal{planned.error()};
    Json cells = Json::array();
    for (const Case& spec : planned->plan.cases) {
      if (spec.skip) continue;
      const Record row = planned_row(spec, planned->config, "", kernels::active_isa());
      cells.push_back({{"flags", case_flags(spec, planned->config)},
                       {"label", case_label(spec)},
                       {"threads", spec.threads},
                       {"record", Json::parse(records_to_json({&row, 1}))}});
    }
    return {{"cells", cells}, {"skipped", planned->plan.cases.size() - cells.size()}};
  }

  Json prepare(const Json& request) {
    const auto id = request.at("id").get<std::string>();
    cells_.erase(id);
    auto made = ReadyCell::make(request.at("flags").get<CaseFlags>(), registry_, pool_);
    if (!made) throw Refusal{made.error()};
    const auto rows = request.value("rows", std::int64_t{0});
    if (rows > 0) {
      if (const Status right = (*made)->verify(rows, arenas_); !right) {
        throw Refusal{right.error()};
      }
    }
    Json reply = {{"workspace_bytes", (*made)->spec().cost.workspace_bytes}};
    if (rows > 0) reply["call_s"] = pilot_s(**made);
    cells_[id] = std::move(*made);
    return reply;
  }

  /// Seconds of a warm call: the least of a few samples, for what disturbs only adds.
  double pilot_s(ReadyCell& cell) {
    constexpr double kPilot_s = 2e-3;
    constexpr int kRepeats = 3;
    std::int64_t calls = 1;
    double call_s = cell.time(calls, 0, arenas_).wall_s;
    for (std::int64_t n = 2; call_s * static_cast<double>(n) < 2 * kPilot_s; n *= 4) {
      calls = n;
      call_s = cell.time(n, 0, arenas_).wall_s;
    }
    for (int i = 0; i < kRepeats; ++i) {
      call_s = std::min(call_s, cell.time(calls, 0, arenas_).wall_s);
    }
    return call_s;
  }

  ReadyCell& find(const Json& request) {
    const auto id = request.at("id").get<std::string>();
    const auto found = cells_.find(id);
    if (found == cells_.end()) throw Refusal{usage_error(fmt::format("no cell '{}'", id))};
    return *found->second;
  }

  Json time(const Json& request) {
    const measure::TimedSample sample =
        find(request).time(request.at("iterations").get<std::int64_t>(),
                           request.value("extra_units", std::int64_t{0}), arenas_);
    return {{"wall_s", sample.wall_s}, {"cpu_s", sample.cpu_s}};
  }

  /// Call and unit in turns, so that both see the same clock; medians of their times.
  Json calibrate(const Json& request) {
    constexpr int kTurns = 9;
    constexpr double kTurn_s = 2e-3;
    constexpr std::int64_t kUnits = 20000;
    ReadyCell& cell = find(request);
    const double call_s = pilot_s(cell);
    const auto calls = std::max<std::int64_t>(1, static_cast<std::int64_t>(kTurn_s / call_s));
    std::vector<double> call_times, unit_times;
    for (int turn = 0; turn < kTurns; ++turn) {
      call_times.push_back(cell.time(calls, 0, arenas_).wall_s);
      const double begin_s = measure::steady_now_s();
      do_extra_work(kUnits);
      unit_times.push_back((measure::steady_now_s() - begin_s) / static_cast<double>(kUnits));
    }
    return {{"call_s", measure::median(call_times)}, {"unit_s", measure::median(unit_times)}};
  }

  /// Instructions of a call: the difference between counts of one and of none, in which what the
  /// counting costs cancels. Interrupts only add, so that the least of several counts is taken
  /// where there are any.
  Json count(const Json& request) {
    ReadyCell& cell = find(request);
    const auto file = request.value("callgrind", std::string());
    if (!counter_ || file != counted_file_) {
      counter_.emplace(file);
      counted_file_ = file;
    }
    constexpr int kPerfRepeats = 5;
    const int repeats = file.empty() ? kPerfRepeats : 1;
    const auto least = [&](std::int64_t calls) {
      std::optional<std::int64_t> found;
      for (int i = 0; i < repeats; ++i) {
        const auto counted = counter_->count([&] { cell.repeat(calls, arenas_); });
        if (!counted) throw Refusal{unsupported_error(counter_->refusal())};
        found = std::min(found.value_or(*counted), *counted);
      }
      return *found;
    };
    cell.repeat(1, arenas_);  // What only a first call does is not counted.
    const std::int64_t nothing = least(0);
    return {{"instructions", least(1) - nothing},
            {"source", counter_->source()},
            {"isa", kernels::active_isa()}};
  }

  const Registry& registry_;
  std::optional<measure::InstructionCounter> counter_;
  std::string counted_file_;
  ArenaPool arenas_;
  InputPool pool_;
  std::map<std::string, std::unique_ptr<ReadyCell>> cells_;
};

GateChild::GateChild(const Registry& registry) : impl_(std::make_unique<Impl>(registry)) {}
GateChild::~GateChild() = default;

std::string GateChild::answer(const std::string& request) {
  Json reply;
  try {
    reply = impl_->answer(Json::parse(request));
    reply["ok"] = true;
  } catch (const Refusal& thrown) {
    reply = refusal(thrown.error);
  } catch (const Json::exception& thrown) {
    reply = refusal(usage_error(thrown.what()));
  } catch (...) {
    reply = refusal(current_exception_error());
  }
  return reply.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace attnbench::run
