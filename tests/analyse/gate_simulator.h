// A machine on a simulated clock: what two processes of a gate would measure on it.
#pragma once

#include <vector>

#include "analyse/gate_procedure.h"
#include "analyse/gate_quad.h"
#include "analyse/random.h"

namespace attnbench::analyse::test {

/// Noise of a machine. Standard deviations and positions are of log time.
struct Noise {
  double layout_sd;       ///< Drawn per process and cell.
  double drift_sd;        ///< AR(1) ...
  double drift_tau_s;     ///< ... with this time constant.
  double clock_dwell_s;   ///< A clock that is 8% slower half of the time.
  double burst_fraction;  ///< Of the time a neighbour costs 10 to 30%,
  double burst_mean_s;    ///< so long at a time.
  double position;        ///< On the first sample of a quad; a third, a fifth on the next ones.
  double white_sd;        ///< At 5 ms.
  double spikes_per_s;    ///< Interruptions ...
  double spike_mean_s;    ///< ... of exponential length.
};

inline constexpr Noise kQuiet{0.003, 0.005, 5, 30, 0.02, 0.3, 0.005, 0.004, 4, 0.0002};
inline constexpr Noise kTypical{0.008, 0.02, 3, 3, 0.10, 0.3, 0.015, 0.008, 10, 0.0005};
inline constexpr Noise kNoisy{0.015, 0.03, 1, 1, 0.10, 0.1, 0.03, 0.015, 20, 0.0005};
inline constexpr Noise kAwful{0.025, 0.04, 0.5, 0.5, 0.10, 0.05, 0.05, 0.025, 40, 0.001};

/// The state of the machine, and its clock.
class Machine {
 public:
  Machine(const Noise& noise, std::uint64_t seed);
  double now_s() const { return now_s_; }
  void pass_time(double seconds);
  /// Times `iterations` calls of `call_s` each on a quiet machine; seconds per call as measured.
  double sample(double call_s, int iterations, double position_effect);
  Random& random() { return random_; }
  double normal();

 private:
  /// Lets the machine work for `work_s` seconds of a quiet machine; the seconds it took.
  double work(double work_s);

  Noise noise_;
  Random random_;
  double now_s_ = 0;
  double drift_ = 0;
  double spare_normal_ = 0;
  bool has_spare_ = false;
  bool slow_clock_ = false, burst_ = false;
  double clock_until_s_ = 0, burst_until_s_ = 0, spike_at_s_ = 0;
  double burst_factor_ = 1;
};

/// A gate between two builds, whose cells differ by known log slowdowns.
struct Gate {
  Noise noise = kTypical;
  GateSettings settings;
  std::vector<double> slowdown = std::vector<double>(24, 0.0);  ///< Log ratio of each cell.
  double aa_difference = 0;   ///< Of a copy of the base, which should not differ.
  double positive_found = 1;  ///< How much of its extra work the positive control really does.
  double launch_overhead_s = 0.25;
};

/// Call times of `cells` cells from 0.2 to 20 ms.
std::vector<double> call_times(std::size_t cells);

/// Runs a whole gate.
GateResult simulate(const Gate& gate, std::uint64_t seed);

/// One launch of one cell with log ratio `slowdown`: its value D.
double simulate_launch(Machine& machine, const Noise& noise, double call_s, double slowdown);

}  // namespace attnbench::analyse::test
