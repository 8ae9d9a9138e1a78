#include "measure/clock.h"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace attnbench::measure {

double steady_now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double process_cpu_s() {
  timespec now{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double clock_resolution_s() {
  static const double resolution_s = [] {
    using Clock = std::chrono::steady_clock;
    auto smallest = Clock::duration::max();
    for (int i = 0; i < 1000; ++i) {
      const auto start = Clock::now();
      auto next = Clock::now();
      while (next == start) next = Clock::now();
      smallest = std::min(smallest, next - start);
    }
    return std::chrono::duration<double>(smallest).count();
  }();
  return resolution_s;
}

}  // namespace attnbench::measure
