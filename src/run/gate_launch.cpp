#include "run/gate_launch.h"

#include <fmt/format.h>

#include <algorithm>

#include "measure/clock.h"
#include "run/gate_child.h"

namespace attnbench::run {
namespace {

using Side = LaunchFailure::Side;
constexpr double kStartTimeout_s = 60;
constexpr double kPrepareTimeout_s = 120;
/// A shared machine may stop a process for seconds.
constexpr double kSlowestSample_s = 30;
constexpr double kSlowestFactor = 100;

struct Member {
  Side side;
  std::unique_ptr<ChildProcess> child;
};

/// The processes of one launch.
class Launch {
 public:
  std::optional<LaunchFailure> start(Side side, const GateBuild& build, const GateMachine& machine,
                                     std::size_t padding_bytes) {
    auto started = start_gate_child(build, machine, padding_bytes);
    if (auto* failure = std::get_if<ChildFailure>(&started)) {
      return LaunchFailure{side, std::nullopt, std::move(*failure)};
    }
    members_.push_back({side, std::move(std::get<0>(started))});
    return std::nullopt;
  }

  std::variant<CellSamples, LaunchFailure> measure(const CellTask& task) {
    const double begin_s = measure::steady_now_s();
    const Side head = task.control ? Side::copy : Side::head;
    const OrderedJson prepare = {
        {"do", "prepare"}, {"id", "cell"}, {"flags", task.flags}, {"rows", 0}};
    for (const Side side : {Side::base, head}) {
      if (auto failure = ask(side, prepare, kPrepareTimeout_s, task, nullptr)) return *failure;
    }
    CellSamples samples;
    for (std::size_t q = 0; q < samples.quads.size(); ++q) {
      QuadSamples& quad = samples.quads[q];
      quad.base_first = task.base_first == (q == 0);
      for (std::size_t i = 0; i < quad.seconds.size(); ++i) {
        const bool outer = i == 0 || i == 3;
        const Side side = outer == quad.base_first ? Side::base : head;
        if (auto failure = time(side, task, quad.seconds[i])) return *failure;
      }
    }
    const OrderedJson drop = {{"do", "drop"}, {"id", "cell"}};
    for (const Side side : {Side::base, head}) {
      if (auto failure = ask(side, drop, kPrepareTimeout_s, task, nullptr)) return *failure;
    }
    samples.elapsed_s = measure::steady_now_s() - begin_s;
    return samples;
  }

 private:
  ChildProcess& child(Side side) {
    return *std::ranges::find(members_, side, &Member::side)->child;
  }

  std::optional<LaunchFailure> ask(Side side, const OrderedJson& request, double timeout_s,
                                   const CellTask& task, OrderedJson* reply) {
    Answer answer = child(side).ask(request, timeout_s);
    if (auto* failure = std::get_if<ChildFailure>(&answer)) {
      return LaunchFailure{side, task.cell, std::move(*failure)};
    }
    if (reply != nullptr) *reply = std::move(std::get<OrderedJson>(answer));
    return std::nullopt;
  }

  std::optional<LaunchFailure> time(Side side, const CellTask& task, double& seconds) {
    const bool base = side == Side::base;
    const OrderedJson request = {{"do", "time"},
                                 {"id", "cell"},
                                 {"iterations", base ? task.base_iterations : task.head_iterations},
                                 {"extra_units", base ? 0 : task.head_extra_units}};
    OrderedJson reply;
    const double timeout_s = std::max(kSlowestSample_s, kSlowestFactor * task.expected_s);
    if (auto failure = ask(side, request, timeout_s, task, &reply)) return failure;
    // What is no positive number is a sample without a value; the analysis knows what to do.
    seconds = number_in(reply, "wall_s");
    return std::nullopt;
  }

  std::vector<Member> members_;
};

}  // namespace

std::variant<std::unique_ptr<ChildProcess>, ChildFailure> start_gate_child(
    const GateBuild& build, const GateMachine& machine, std::size_t padding_bytes) {
  using Kind = ChildFailure::Kind;
  ChildOptions options{build.name, build.command, machine.environment, machine.cpus,
                       machine.interrupted};
  options.environment.push_back("ATTNBENCH_PADDING=" + std::string(padding_bytes, 'x'));
  auto child = ChildProcess::start(options);
  if (!child) return ChildFailure{Kind::died, child.error().message, ""};
  Answer hello = (*child)->ask({{"do", "hello"}, {"protocol", kGateProtocol}}, kStartTimeout_s);
  if (auto* failure = std::get_if<ChildFailure>(&hello)) {
    if (failure->kind == Kind::interrupted) return std::move(*failure);
    failure->message += "; is it an attnbench with 'gate'?";
    return std::move(*failure);
  }
  const double protocol = number_in(std::get<OrderedJson>(hello), "protocol");
  if (protocol != kGateProtocol) {
    return ChildFailure{Kind::garbled,
                        fmt::format("{} speaks protocol {:g} of the gate's children, this build {}",
                                    build.name, protocol, kGateProtocol),
                        ""};
  }
  return std::move(*child);
}

GateLauncher::GateLauncher(GateBuild base, GateBuild head, GateBuild copy, GateMachine machine)
    : base_(std::move(base)),
      head_(std::move(head)),
      copy_(std::move(copy)),
      machine_(std::move(machine)) {}

std::variant<LaunchSamples, LaunchFailure> GateLauncher::launch(const LaunchTask& task) const {
  const double begin_s = measure::steady_now_s();
  const auto needs = [&](bool control) {
    return std::ranges::any_of(task.cells,
                               [&](const CellTask& cell) { return cell.control == control; });
  };
  std::vector<std::pair<Side, const GateBuild*>> order{{Side::base, &base_}};
  if (needs(false)) order.emplace_back(Side::head, &head_);
  if (needs(true)) order.emplace_back(Side::copy, &copy_);
  if (task.head_starts_first) std::ranges::reverse(order);
  Launch launch;
  for (const auto& [side, build] : order) {
    if (auto failure = launch.start(side, *build, machine_, task.padding_bytes)) return *failure;
  }
  LaunchSamples samples;
  for (const CellTask& cell : task.cells) {
    auto measured = launch.measure(cell);
    if (auto* failure = std::get_if<LaunchFailure>(&measured)) return std::move(*failure);
    samples.cells.push_back(std::get<CellSamples>(measured));
  }
  samples.elapsed_s = measure::steady_now_s() - begin_s;
  return samples;
}

}  // namespace attnbench::run
