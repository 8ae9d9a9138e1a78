#include "run/gate_preflight.h"

#include <fmt/format.h>

#include <algorithm>

#include "record/json.h"

namespace attnbench::run {
namespace {

using Kind = ChildFailure::Kind;
constexpr double kPlanTimeout_s = 60;
constexpr double kTrialTimeout_s = 300;
/// Rows of the output that are compared with float64 before a cell is timed.
constexpr std::int64_t kCheckedRows = 64;

/// A child of one build that is started again when a cell ended it.
class Trials {
 public:
  Trials(const GateBuild& build, const GateMachine& machine) : build_(build), machine_(machine) {}

  Answer ask(const OrderedJson& request, double timeout_s) {
    if (child_ == nullptr) {
      auto started = start_gate_child(build_, machine_, 0);
      if (auto* failure = std::get_if<ChildFailure>(&started)) return std::move(*failure);
      child_ = std::move(std::get<0>(started));
    }
    Answer answer = child_->ask(request, timeout_s);
    const auto* failure = std::get_if<ChildFailure>(&answer);
    if (failure != nullptr && failure->kind != Kind::refused) child_.reset();
    return answer;
  }

  /// Fails only when interrupted.
  std::variant<CellTrial, ChildFailure> trial(const CaseFlags& flags) {
    Answer answer =
        ask({{"do", "prepare"}, {"id", "cell"}, {"flags", flags}, {"rows", kCheckedRows}},
            kTrialTimeout_s);
    CellTrial found;
    if (auto* failure = std::get_if<ChildFailure>(&answer)) {
      if (failure->kind == Kind::interrupted) return std::move(*failure);
      found.reason = failure->message;
      found.unknown = failure->refusal == "usage" || failure->refusal == "unsupported";
      return found;
    }
    const double call_s = number_in(std::get<OrderedJson>(answer), "call_s");
    if (call_s > 0) {
      found.call_s = call_s;
    } else {
      found.reason = build_.name + " reported no time";
    }
    return found;
  }

 private:
  const GateBuild& build_;
  const GateMachine& machine_;
  std::unique_ptr<ChildProcess> child_;
};

/// Appends the cells of a plan that are not there yet.
Status add_cells(const OrderedJson& plan, const std::string& source,
                 std::vector<PreflightCell>& cells) {
  try {
    for (const OrderedJson& entry : plan.at("cells")) {
      PreflightCell cell;
      cell.flags = entry.at("flags").get<CaseFlags>();
      const bool known = std::ranges::any_of(
          cells, [&](const PreflightCell& other) { return other.flags == cell.flags; });
      if (known) continue;
      cell.label = entry.at("label").get<std::string>();
      auto rows = records_from_json(entry.at("record").dump(), source);
      if (!rows) return rows.error();
      if (rows->size() != 1) return io_error(source + ": a cell without its row");
      cell.row = std::move(rows->front());
      cells.push_back(std::move(cell));
    }
  } catch (const OrderedJson::exception& thrown) {
    return io_error(fmt::format("{}: its list of cells is none ({})", source, thrown.what()));
  }
  return ok_status();
}

}  // namespace

std::variant<Preflight, ChildFailure> gate_preflight(
    const GateConfig& config, const GateBuild& base, const GateBuild& head,
    const GateMachine& machine, const std::function<void(const std::string& label)>& progress) {
  Preflight preflight;
  Trials base_trials(base, machine), head_trials(head, machine);
  const OrderedJson request = {{"do", "plan"}, {"config", config.toml}, {"name", config.name}};
  std::optional<ChildFailure> refused;
  int planned = 0;
  for (Trials* side : {&base_trials, &head_trials}) {
    Answer answer = side->ask(request, kPlanTimeout_s);
    if (auto* failure = std::get_if<ChildFailure>(&answer)) {
      // One that does not know a variant by name still has to say so cell by cell.
      if (failure->kind != Kind::refused) return std::move(*failure);
      refused = std::move(*failure);
      continue;
    }
    ++planned;
    const std::string& name = side == &base_trials ? base.name : head.name;
    if (const Status added = add_cells(std::get<OrderedJson>(answer), name, preflight.cells);
        !added) {
      return ChildFailure{Kind::garbled, added.error().message, ""};
    }
  }
  if (planned == 0) return *refused;
  Answer hello = base_trials.ask({{"do", "hello"}}, kPlanTimeout_s);
  if (auto* failure = std::get_if<ChildFailure>(&hello)) return std::move(*failure);
  preflight.clock_resolution_s = number_in(std::get<OrderedJson>(hello), "clock_resolution_s");
  for (PreflightCell& cell : preflight.cells) {
    if (progress) progress(cell.label);
    for (const auto& [side, trial] :
         {std::pair{&base_trials, &cell.base}, std::pair{&head_trials, &cell.head}}) {
      auto found = side->trial(cell.flags);
      if (auto* failure = std::get_if<ChildFailure>(&found)) return std::move(*failure);
      *trial = std::get<CellTrial>(std::move(found));
    }
  }
  return preflight;
}

std::variant<double, ChildFailure> gate_calibrate(const CaseFlags& flags, const GateBuild& build,
                                                  const GateMachine& machine) {
  Trials trials(build, machine);
  OrderedJson found;
  for (const OrderedJson& request :
       {OrderedJson{{"do", "prepare"}, {"id", "cell"}, {"flags", flags}, {"rows", 0}},
        OrderedJson{{"do", "calibrate"}, {"id", "cell"}}}) {
    Answer answer = trials.ask(request, kTrialTimeout_s);
    if (auto* failure = std::get_if<ChildFailure>(&answer)) return std::move(*failure);
    found = std::get<OrderedJson>(std::move(answer));
  }
  const double call_s = number_in(found, "call_s");
  const double unit_s = number_in(found, "unit_s");
  if (!(call_s > 0) || !(unit_s > 0)) {
    return ChildFailure{Kind::garbled, build.name + " could not calibrate extra work", ""};
  }
  return call_s / unit_s;
}

}  // namespace attnbench::run
