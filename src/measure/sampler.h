// Times a callable with Google Benchmark at a fixed number of inner iterations. What to time, how
// often and when to stop is decided elsewhere (policy.h, schedule.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "measure/clock.h"

namespace attnbench::measure {

/// One timed sample, per iteration.
struct TimedSample {
  double wall_s = 0;
  double cpu_s = 0;  ///< Of the whole process.
  std::int64_t iterations = 1;
  double start_s = 0;  ///< Steady clock, seconds since an arbitrary origin.
};

/// A benchmark of one callable, timed on request and silent. Any number may be alive; Google
/// Benchmark's table of benchmarks is global, so only the one asked for is in it, and nothing else
/// in the process may keep benchmarks there. Not thread safe.
class Sampler {
 public:
  /// `body` is called once per iteration.
  Sampler(std::string name, std::function<void()> body);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  /// Runs `iterations` (at least 1) iterations in one Google Benchmark run (real time, process CPU
  /// time). What `body` throws comes out of here; the iterations after it are not run.
  TimedSample sample(std::int64_t iterations);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attnbench::measure
