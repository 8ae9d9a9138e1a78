#include "measure/sampler.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <exception>
#include <ostream>
#include <stdexcept>
#include <streambuf>
#include <utility>
#include <vector>

#include "measure/clock.h"

namespace attnbench::measure {
namespace {

/// Swallows everything: the library flushes the streams of its reporters on every run.
class NullBuffer final : public std::streambuf {
 protected:
  int overflow(int c) override { return c == traits_type::eof() ? 0 : c; }
};

/// Keeps the one run that a sample consists of and prints nothing.
class CollectingReporter final : public benchmark::BenchmarkReporter {
 public:
  CollectingReporter() : stream_(&buffer_) {
    SetOutputStream(&stream_);
    SetErrorStream(&stream_);
  }
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      wall_s = run.real_accumulated_time;
      cpu_s = run.cpu_accumulated_time;
      iterations = static_cast<std::int64_t>(run.iterations);
    }
  }
  double wall_s = 0;
  double cpu_s = 0;
  std::int64_t iterations = 0;

 private:
  NullBuffer buffer_;
  std::ostream stream_;
};

}  // namespace

struct Sampler::Impl {
  std::string name;
  std::function<void()> body;
  std::exception_ptr thrown;
  double started_s = 0;

  void loop(benchmark::State& state) {
    started_s = steady_now_s();
    for (auto unused : state) {
      static_cast<void>(unused);
      if (thrown) continue;  // The library counts on its loop to be finished.
      try {
        body();
      } catch (...) {
        thrown = std::current_exception();
      }
    }
  }
};

Sampler::Sampler(std::string name, std::function<void()> body) : impl_(std::make_unique<Impl>()) {
  impl_->name = std::move(name);
  impl_->body = std::move(body);
}

Sampler::~Sampler() = default;

TimedSample Sampler::sample(std::int64_t iterations) {
  Impl* impl = impl_.get();
  impl->thrown = nullptr;
  benchmark::ClearRegisteredBenchmarks();
  benchmark::RegisterBenchmark(impl->name.c_str(),
                               [impl](benchmark::State& state) { impl->loop(state); })
      ->Iterations(std::max<std::int64_t>(1, iterations))
      ->MeasureProcessCPUTime()
      ->UseRealTime();
  CollectingReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter, ".");
  benchmark::ClearRegisteredBenchmarks();
  if (impl->thrown) std::rethrow_exception(std::exchange(impl->thrown, nullptr));
  if (reporter.iterations <= 0) throw std::runtime_error("the sample was not run: " + impl->name);
  const auto count = static_cast<double>(reporter.iterations);
  return {reporter.wall_s / count, reporter.cpu_s / count, reporter.iterations, impl->started_s};
}

}  // namespace attnbench::measure
