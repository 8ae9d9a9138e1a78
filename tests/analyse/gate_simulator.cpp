#include "gate_simulator.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace attnbench::analyse::test {
namespace {

constexpr double kSample_s = 5e-3;
constexpr double kTick_s = 40e-9;
constexpr double kSlowClock = 1.08;

double exponential(Random& random, double mean) { return -mean * std::log(1 - random.uniform()); }

}  // namespace

Machine::Machine(const Noise& noise, std::uint64_t seed) : noise_(noise), random_(seed) {
  drift_ = noise_.drift_sd * normal();
  slow_clock_ = random_.uniform() < 0.5;
  clock_until_s_ = exponential(random_, noise_.clock_dwell_s);
  burst_ = random_.uniform() < noise_.burst_fraction;
  burst_factor_ = random_.uniform(1.1, 1.3);
  burst_until_s_ = exponential(random_, noise_.burst_mean_s);
  spike_at_s_ = exponential(random_, 1 / noise_.spikes_per_s);
}

double Machine::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - random_.uniform()));
  const double angle = 2 * std::numbers::pi * random_.uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

void Machine::pass_time(double seconds) {
  const double kept = std::exp(-seconds / noise_.drift_tau_s);
  drift_ = drift_ * kept + noise_.drift_sd * std::sqrt(1 - kept * kept) * normal();
  now_s_ += seconds;
  while (clock_until_s_ <= now_s_) {
    slow_clock_ = !slow_clock_;
    clock_until_s_ += exponential(random_, noise_.clock_dwell_s);
  }
  while (burst_until_s_ <= now_s_) {
    burst_ = !burst_;
    const double off_s = noise_.burst_mean_s * (1 - noise_.burst_fraction) / noise_.burst_fraction;
    burst_until_s_ += exponential(random_, burst_ ? noise_.burst_mean_s : off_s);
    if (burst_) burst_factor_ = random_.uniform(1.1, 1.3);
  }
  while (spike_at_s_ <= now_s_) spike_at_s_ += exponential(random_, 1 / noise_.spikes_per_s);
}

double Machine::work(double work_s) {
  const double begin_s = now_s_;
  const double drift = std::exp(drift_);
  while (work_s > 0) {
    const double factor = drift * (slow_clock_ ? kSlowClock : 1) * (burst_ ? burst_factor_ : 1);
    const double event_s = std::min({clock_until_s_, burst_until_s_, spike_at_s_});
    const double end_s = now_s_ + work_s * factor;
    if (end_s < event_s) {
      pass_time(end_s - now_s_);
      break;
    }
    work_s -= (event_s - now_s_) / factor;
    const bool spike = event_s == spike_at_s_;
    pass_time(event_s - now_s_);
    if (spike) pass_time(exponential(random_, noise_.spike_mean_s));
  }
  return now_s_ - begin_s;
}

double Machine::sample(double call_s, int iterations, double position_effect) {
  const double nominal_s = call_s * iterations;
  const double white = noise_.white_sd * std::sqrt(kSample_s / nominal_s) * normal();
  const double took_s = work(nominal_s * std::exp(white + position_effect));
  return std::max(kTick_s, std::round(took_s / kTick_s) * kTick_s) / iterations;
}

std::vector<double> call_times(std::size_t cells) {
  std::vector<double> times(cells);
  for (std::size_t i = 0; i < cells; ++i) {
    const double part = cells > 1 ? static_cast<double>(i) / static_cast<double>(cells - 1) : 0;
    times[i] = 0.2e-3 * std::pow(100.0, part);
  }
  return times;
}

double simulate_launch(Machine& machine, const Noise& noise, double call_s, double slowdown) {
  const double base_s = call_s * std::exp(noise.layout_sd * machine.normal());
  const double head_s = call_s * std::exp(slowdown + noise.layout_sd * machine.normal());
  const double position[4] = {noise.position, noise.position / 3, noise.position / 5, 0};
  const int iterations = std::max(1, static_cast<int>(std::ceil(kSample_s / call_s)));
  Quad quads[2];
  quads[0].base_first = machine.random().uniform() < 0.5;
  quads[1].base_first = !quads[0].base_first;
  for (Quad& quad : quads) {
    for (std::size_t i = 0; i < 4; ++i) {
      const bool base = (i == 0 || i == 3) == quad.base_first;
      machine.sample(base ? base_s : head_s, 1, 0);  // Warm.
      quad.seconds[i] = machine.sample(base ? base_s : head_s, iterations, position[i]);
    }
  }
  return *launch_value(quads);
}

GateResult simulate(const Gate& gate, std::uint64_t seed) {
  constexpr std::size_t kControl = 0;  // The cheapest.
  Machine machine(gate.noise, seed);
  const std::vector<double> times = call_times(gate.slowdown.size());
  GateProcedure procedure(gate.settings, times.size(), kControl);
  while (const auto request = procedure.next()) {
    LaunchValues values;
    const double begin_s = machine.now_s();
    machine.pass_time(gate.launch_overhead_s);
    values.cells.resize(request->cells.size());
    values.cell_seconds.resize(request->cells.size());
    std::vector<std::size_t> order(request->cells.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[machine.random().index(i)]);
    }
    for (const std::size_t k : order) {
      const double cell_begin_s = machine.now_s();
      const std::size_t cell = request->cells[k];
      values.cells[k] = simulate_launch(machine, gate.noise, times[cell], gate.slowdown[cell]);
      values.cell_seconds[k] = machine.now_s() - cell_begin_s;
    }
    if (request->controls) {
      values.aa = simulate_launch(machine, gate.noise, times[kControl], gate.aa_difference);
      const double extra = gate.settings.positive_work() * gate.positive_found;
      values.positive = simulate_launch(machine, gate.noise, times[kControl], std::log1p(extra));
    }
    values.elapsed_s = machine.now_s() - begin_s;
    procedure.feed(values);
  }
  return procedure.result();
}

}  // namespace attnbench::analyse::test
