// Work of a known amount, for slowdowns that are injected on purpose.
#pragma once

#include <cstdint>

namespace attnbench::run {

/// Computes `units` units of dependent multiplications and additions, some 0.1 microseconds each:
/// work, not waiting, so that it stretches with the clock as a kernel does. The value returned
/// depends on all of it.
double do_extra_work(std::int64_t units);

}  // namespace attnbench::run
