// A clock for tests of the runner that moves only when it is told to.
#pragma once

namespace attnbench::run_test {

/// While one is alive, the process's monotonic clock is simulated: a look at it takes a nanosecond,
/// and only pass() takes longer.
class SimulatedClock {
 public:
  SimulatedClock();
  ~SimulatedClock();
  SimulatedClock(const SimulatedClock&) = delete;
  SimulatedClock& operator=(const SimulatedClock&) = delete;
};

/// Lets simulated time go by; nothing happens while the clock is real.
void pass(double seconds);

}  // namespace attnbench::run_test
