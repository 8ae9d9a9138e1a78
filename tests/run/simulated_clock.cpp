#include "run/simulated_clock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <ctime>

namespace {

std::atomic<bool> simulated{false};
std::atomic<std::int64_t> now_ns{1'000'000'000};

}  // namespace

/// In place of the C library's, which the standard library and Google Benchmark call.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (!simulated || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_RAW)) {
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  }
  constexpr std::int64_t kSecond_ns = 1'000'000'000;
  const std::int64_t ns = ++now_ns;  // A clock that stands still has no resolution.
  time->tv_sec = ns / kSecond_ns;
  time->tv_nsec = ns % kSecond_ns;
  return 0;
}

namespace attnbench::run_test {

SimulatedClock::SimulatedClock() { simulated = true; }
SimulatedClock::~SimulatedClock() { simulated = false; }

void pass(double seconds) {
  if (simulated) now_ns += std::llround(1e9 * seconds);
}

}  // namespace attnbench::run_test
