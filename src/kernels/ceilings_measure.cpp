#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <new>

#include "kernels/arena.h"
#include "kernels/ceilings.h"
#include "kernels/ceilings_simd.h"
#include "kernels/isa.h"

namespace attnbench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Keeps what the loops return, so that none of them can be left out.
std::atomic<float> sink{0};

/// Lets all threads of the executor do `warm(slot)`, wait for each other, and do `work(slot)`;
/// seconds from the first start of work until its last end. Infinite when they could not be brought
/// together: fewer threads than promised were running, so the burst says nothing.
template <class Warm, class Work>
double together_s(Executor& executor, const Warm& warm, const Work& work) {
  constexpr double kPatience_s = 0.01;  // Some scheduling quanta of another process.
  const int threads = executor.threads();
  std::atomic<int> arrived{0};
  std::atomic<bool> apart{false};
  std::vector<Clock::time_point> start(static_cast<std::size_t>(threads));
  std::vector<Clock::time_point> end(static_cast<std::size_t>(threads));
  executor.parallel_for(threads, [&](std::int64_t index, int) {
    const auto i = static_cast<std::size_t>(index);
    warm(i);
    arrived.fetch_add(1);
    const Clock::time_point since = Clock::now();
    while (arrived.load(std::memory_order_relaxed) < threads) {
      if (seconds_since(since) > kPatience_s) {
        apart = true;
        break;
      }
    }
    start[i] = Clock::now();
    work(i);
    end[i] = Clock::now();
  });
  if (apart) return std::numeric_limits<double>::infinity();
  const auto elapsed = *std::ranges::max_element(end) - *std::ranges::min_element(start);
  return std::chrono::duration<double>(elapsed).count();
}

/// One ceiling: repeated bursts of `units_per_step * steps`, of which the fastest counts. The
/// number of steps grows until a burst lasts about a millisecond: a burst that was only held up by
/// another process cannot end the search, because every later one looks again.
class Ceiling {
 public:
  using Burst = std::function<double(std::int64_t steps)>;  ///< Seconds.
  Ceiling(double units_per_step, Burst burst)
      : units_per_step_(units_per_step), burst_(std::move(burst)) {}

  /// One burst that counts, after as many shorter ones as it takes to find its length.
  void run_once() {
    constexpr int kMostAttempts = 16;
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      const double elapsed_s = burst_(steps_);
      if (!std::isfinite(elapsed_s)) continue;
      if (elapsed_s >= kShortest_s) {
        const double rate = units_per_step_ * static_cast<double>(steps_) / elapsed_s;
        best_per_s_ = std::max(best_per_s_, rate);
        ++bursts_;
        return;
      }
      const double grow = std::clamp(2 * kShortest_s / std::max(elapsed_s, 1e-9), 1.5, 16.0);
      steps_ = static_cast<std::int64_t>(std::ceil(static_cast<double>(steps_) * grow));
    }
  }
  bool known() const { return bursts_ >= kFewestBursts; }
  double best_per_s() const { return best_per_s_; }

 private:
  static constexpr double kShortest_s = 0.0005;
  /// The first may have been held up before its number of steps was found.
  static constexpr int kFewestBursts = 5;
  double units_per_step_;
  Burst burst_;
  std::int64_t steps_ = 1;
  int bursts_ = 0;
  double best_per_s_ = 0;
};

void nothing(std::size_t) {}

Ceiling fma_ceiling(Executor& executor) {
  constexpr std::int64_t kSteps = 1000;
  const double flops = 2.0 * kSteps * static_cast<double>(kernels::kFmaStreams) *
                       kernels::vector_floats() * executor.threads();
  return Ceiling(flops, [&executor](std::int64_t steps) {
    return together_s(executor, nothing,
                      [steps](std::size_t) { sink = kernels::fma_loop(kSteps * steps); });
  });
}

constexpr std::size_t kExpValues = 1024;  // 4 KiB: within any first-level cache.

Ceiling exp_ceiling(Executor& executor, const float* values) {
  return Ceiling(static_cast<double>(kExpValues) * executor.threads(),
                 [&executor, values](std::int64_t passes) {
                   return together_s(executor, nothing, [=](std::size_t) {
                     sink = kernels::exp_loop(values, kExpValues, passes);
                   });
                 });
}

/// `floats` of `buffer` belong to each thread, one part after the other. One pass goes before, so
/// that the part is where its size lets it stay.
Ceiling read_ceiling(Executor& executor, const float* buffer, std::size_t floats) {
  const double bytes = static_cast<double>(floats * sizeof(float)) * executor.threads();
  return Ceiling(bytes, [&executor, buffer, floats](std::int64_t passes) {
    const auto read = [=](std::size_t i, std::int64_t times) {
      sink = kernels::read_loop(buffer + i * floats, floats, times);
    };
    return together_s(
        executor, [=](std::size_t i) { read(i, 1); }, [=](std::size_t i) { read(i, passes); });
  });
}

/// From the first half of each thread's part to the second: the same footprint as reading.
Ceiling copy_ceiling(Executor& executor, float* buffer, std::size_t floats, bool streaming) {
  const std::size_t half = floats / 2 / 64 * 64;
  const double bytes = static_cast<double>(2 * half * sizeof(float)) * executor.threads();
  return Ceiling(bytes, [&executor, buffer, floats, half, streaming](std::int64_t passes) {
    const auto copy = [=](std::size_t i, std::int64_t times) {
      float* part = buffer + i * floats;
      kernels::copy_loop(part + half, part, half, times, streaming);
    };
    return together_s(
        executor, [=](std::size_t i) { copy(i, 1); }, [=](std::size_t i) { copy(i, passes); });
  });
}

std::int64_t memory_limit_bytes() {
  const long pages = sysconf(_SC_AVPHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return std::int64_t{64} << 20;
  return static_cast<std::int64_t>(pages) * page / 8;
}

/// The largest buffer that can be had, at most `floats`; written, so that its pages exist.
FloatBuffer touched_buffer(std::size_t floats) {
  for (;; floats /= 2) {
    try {
      FloatBuffer buffer(floats);
      std::ranges::fill(buffer.span(), 1.0F);
      return buffer;
    } catch (const std::bad_alloc&) {
      if (floats < 1024) throw;
    }
  }
}

struct ThreadCountCeilings {
  ComputeCeiling compute;
  std::vector<BandwidthCeiling> bandwidth;
};

ThreadCountCeilings measure_at(int threads, const std::vector<DataCache>& caches, double seconds) {
  const Clock::time_point begin = Clock::now();
  kernels::ThreadArena arena(threads);
  const auto count = static_cast<std::size_t>(threads);
  const std::vector<LevelPlan> levels = plan_levels(caches, threads, memory_limit_bytes());
  FloatBuffer values(kExpValues);
  for (std::size_t i = 0; i < kExpValues; ++i) {
    values.data()[i] = -0.02F * static_cast<float>(i % 512);
  }
  FloatBuffer buffer = touched_buffer(static_cast<std::size_t>(levels.back().thread_read_bytes) /
                                      sizeof(float) * count);

  std::vector<Ceiling> ceilings;
  ceilings.push_back(fma_ceiling(arena));
  ceilings.push_back(exp_ceiling(arena, values.data()));
  for (const LevelPlan& level : levels) {
    const std::size_t floats =
        std::min(static_cast<std::size_t>(level.thread_read_bytes) / sizeof(float),
                 buffer.size() / count / 128 * 128);
    ceilings.push_back(read_ceiling(arena, buffer.data(), floats));
    ceilings.push_back(copy_ceiling(arena, buffer.data(), floats, false));
    ceilings.push_back(copy_ceiling(arena, buffer.data(), floats, true));
  }
  // In rounds, so that a disturbance of some tens of milliseconds does not hit one ceiling alone.
  const auto all_known = [&] { return std::ranges::all_of(ceilings, &Ceiling::known); };
  constexpr double kPatience = 4;
  for (double spent_s = 0; spent_s < seconds || (!all_known() && spent_s < kPatience * seconds);
       spent_s = seconds_since(begin)) {
    for (Ceiling& c : ceilings) c.run_once();
  }

  ThreadCountCeilings result;
  result.compute = {threads, ceilings[0].best_per_s(), ceilings[1].best_per_s()};
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const std::size_t at = 2 + 3 * i;
    result.bandwidth.push_back(
        {levels[i].level, levels[i].capacity_bytes, threads, ceilings[at].best_per_s(),
         std::max(ceilings[at + 1].best_per_s(), ceilings[at + 2].best_per_s())});
  }
  return result;
}

}  // namespace

Ceilings measure_ceilings(const std::vector<int>& thread_counts,
                          const std::vector<DataCache>& caches, double seconds) {
  Ceilings ceilings;
  ceilings.isa = kernels::active_isa();
  for (int threads : thread_counts) {
    if (threads < 1 || ceilings.compute_at(threads) != nullptr) continue;
    ThreadCountCeilings at =
        measure_at(threads, caches, seconds / static_cast<double>(thread_counts.size()));
    ceilings.compute.push_back(at.compute);
    ceilings.bandwidth.insert(ceilings.bandwidth.end(), at.bandwidth.begin(), at.bandwidth.end());
  }
  return ceilings;
}

double measure_fma_flops_per_s(Executor& executor, double seconds) {
  const Clock::time_point begin = Clock::now();
  Ceiling ceiling = fma_ceiling(executor);
  do {
    ceiling.run_once();
  } while (seconds_since(begin) < seconds);
  return ceiling.best_per_s();
}

}  // namespace attnbench
