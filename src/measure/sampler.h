// Times a callable with Google Benchmark at a fixed number of inner iterations. What to time, how
// often and when to stop is decided elsewhere (policy.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace attnbench::measure {

/// One timed sample, per iteration.
struct TimedSample {
  double wall_s = 0;
  double cpu_s = 0;  ///< Of the whole process.
  std::int64_t iterations = 1;
  double start_s = 0;  ///< Steady clock, seconds since an arbitrary origin.
};

/// Registers one callable and times it on request.
class Sampler {
 public:
  /// `body` is called once per iteration.
  Sampler(std::string name, std::function<void()> body);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  /// Runs `iterations` iterations in one Google Benchmark run (real time, process CPU time).
  TimedSample sample(std::int64_t iterations);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Seconds of the steady clock.
double steady_now_s();
/// The smallest step of the steady clock that was seen, in seconds.
double clock_resolution_s();

}  // namespace attnbench::measure
