// Threads for cases that take turns at different thread counts.
#pragma once

#include <memory>

#include "kernels/arena.h"

namespace attnbench::run {

/// Hands out the arena of a thread count. Only one arena is alive at a time: TBB limits all of a
/// process's arenas to the smallest of their parallelisms, so that an idle one-thread arena would
/// leave a two-thread one with one thread. Making one costs some 50 microseconds.
class ArenaPool {
 public:
  kernels::ThreadArena& at(int threads);

 private:
  std::unique_ptr<kernels::ThreadArena> arena_;
};

}  // namespace attnbench::run
