// What more threads bring: speed-up, efficiency, serial fraction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyse/growth.h"
#include "analyse/series.h"
#include "record/manifest.h"

namespace attnbench::analyse {

/// One thread count against one thread.
struct ThreadPoint {
  int threads = 1;
  double time_s = 0;
  double speedup = 1;
  Interval speedup_interval;  ///< 95%.
  double efficiency = 1;      ///< speedup / threads.
  double machine_ratio = 1;   ///< What the machine itself gains from one thread to these.
  double of_machine = 1;      ///< speedup / machine_ratio.
};

/// How one variant answers to threads at one length.
struct Scaling {
  std::string variant, params, problem;
  std::int64_t seq = 1;
  std::vector<ThreadPoint> points;  ///< Ascending thread counts, 1 first.
  /// The thread count with the smallest median time.
  int best_threads = 1;
  /// Amdahl's s in t(T) = t(1) (s + (1 - s) / machine_ratio(T)), within [0, 1], over all thread
  /// counts; its interval covers noise and, with three or more thread counts, lack of fit. Absent
  /// when the machine itself gains nothing.
  std::optional<double> serial_fraction;
  std::optional<Interval> serial_interval;
  /// Where machine_ratio is from: "fma", "bandwidth" or "exp" (the manifest's ceilings, of what
  /// bounds the case), "roofline" (the rows' own bounds), or "threads" (the thread count itself).
  std::string machine_basis = "threads";
};

/// One entry for every case that was timed on one thread and on more. `manifest` may be null.
std::vector<Scaling> analyse_scaling(const std::vector<Series>& series, const Manifest* manifest);

}  // namespace attnbench::analyse
