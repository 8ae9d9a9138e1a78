#include "bench/micro_timer.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/ceilings_simd.h"
#include "kernels/isa.h"

namespace attnbench::bench {
namespace {

constexpr double kBatch_s = 100e-6;  // Well above the clock's resolution, well below a time slice.
constexpr std::int64_t kBurstSteps = 30000;  // Of 12 vectors: some 80 to 120 microseconds.

std::atomic<float> sink{0};

template <class Work>
double seconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Repeats that last at least kBatch_s.
std::int64_t batch_of(const Piece& piece) {
  std::int64_t repeats = 1;
  piece(1);  // Faults pages in and fills the caches.
  for (;;) {
    const double elapsed_s = seconds_of([&] { piece(repeats); });
    if (elapsed_s >= kBatch_s || repeats > (std::int64_t{1} << 40)) return repeats;
    repeats *= 2;
  }
}

}  // namespace

std::int64_t& rounds() {
  static std::int64_t count = 300;
  return count;
}

Paired run_paired(benchmark::State& state, const std::vector<Piece>& pieces) {
  std::vector<std::int64_t> batches;
  for (const Piece& piece : pieces) batches.push_back(batch_of(piece));
  std::vector<std::vector<double>> times(pieces.size());
  std::vector<double> bursts;
  for ([[maybe_unused]] auto _ : state) {
    bursts.push_back(seconds_of([] { sink = kernels::fma_loop(kBurstSteps); }));
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const double elapsed_s = seconds_of([&] { pieces[i](batches[i]); });
      times[i].push_back(elapsed_s / static_cast<double>(batches[i]));
    }
    state.SetIterationTime(times[0].back());
  }
  Paired paired;
  for (const auto& piece : times) paired.piece_s.push_back(median(piece));
  const double burst_flops =
      2.0 * static_cast<double>(kBurstSteps * kernels::kFmaStreams) * kernels::vector_floats();
  paired.peak_flops_per_s = burst_flops / median(bursts);
  state.counters["median_us"] = 1e6 * paired.piece_s[0];
  return paired;
}

void report_flops(benchmark::State& state, const Paired& paired, double flops_per_repeat) {
  const double rate = flops_per_repeat / paired.piece_s[0];
  state.counters["GFLOP/s"] = rate / 1e9;
  state.counters["peak_GFLOP/s"] = paired.peak_flops_per_s / 1e9;
  state.counters["of_peak"] = rate / paired.peak_flops_per_s;
}

void report_elements(benchmark::State& state, const Paired& paired, double elements_per_repeat,
                     double piece_s) {
  const double rate = elements_per_repeat / piece_s;
  state.counters["Gelem/s"] = rate / 1e9;
  state.counters["peak_GFLOP/s"] = paired.peak_flops_per_s / 1e9;
  state.counters["fma_per_elem"] = paired.peak_flops_per_s / 2 / rate;
}

}  // namespace attnbench::bench
