// The only place where threads are made.
#pragma once

#include <functional>
#include <memory>

#include "attention/executor.h"

namespace attnbench::kernels {

/// Exactly `threads` threads (the caller is one of them) in one TBB arena, pinned to distinct CPUs
/// of the process's affinity mask where there are enough and the system allows it: with two threads
/// or more, the thread that makes the arena, which also runs its loops, stays on one CPU until the
/// arena is gone. OpenMP inside is held at one thread. Built with ATTNBENCH_ARENA=threads it uses
/// std::thread instead (for tsan).
class ThreadArena final : public Executor {
 public:
  explicit ThreadArena(int threads, bool pin = true);
  ~ThreadArena() override;
  ThreadArena(const ThreadArena&) = delete;
  ThreadArena& operator=(const ThreadArena&) = delete;

  int threads() const override { return threads_; }
  void parallel_for(std::int64_t count,
                    const std::function<void(std::int64_t index, int slot)>& body) override;

 private:
  struct Impl;
  int threads_;
  std::unique_ptr<Impl> impl_;
};

/// Logical CPUs in the process's affinity mask.
int available_cpus();

}  // namespace attnbench::kernels
