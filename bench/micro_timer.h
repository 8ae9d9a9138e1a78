// Times a piece and the machine's multiply-add peak in turns, so that a change of clock or a burst
// of other work falls on both and their ratio stays.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace attnbench::bench {

/// Runs a piece `repeats` times.
using Piece = std::function<void(std::int64_t repeats)>;

/// Medians over the rounds of a benchmark.
struct Paired {
  std::vector<double> piece_s;  ///< One repeat of each piece.
  double peak_flops_per_s = 0;  ///< Of the bursts between them, on the calling thread.
};

/// Every iteration of `state` is a round: a burst of multiply-adds, then a batch of each piece of
/// at least `kBatch_s`. The first piece gives the benchmark its time, per repeat.
Paired run_paired(benchmark::State& state, const std::vector<Piece>& pieces);

/// Counters of a piece that is arithmetic: GFLOP/s, peak_GFLOP/s and of_peak.
void report_flops(benchmark::State& state, const Paired& paired, double flops_per_repeat);

/// Counters of a piece that works on elements: Gelem/s, and how many multiply-adds at peak take as
/// long as one element (fma_per_elem).
void report_elements(benchmark::State& state, const Paired& paired, double elements_per_repeat,
                     double piece_s);

/// Rounds of each benchmark (--rounds).
std::int64_t& rounds();

}  // namespace attnbench::bench
