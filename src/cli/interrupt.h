// SIGINT and SIGTERM while a run is under way.
#pragma once

#include <atomic>
#include <memory>

namespace attnbench::cli {

/// While it lives, the first SIGINT or SIGTERM sets a flag, and the second ends the process at once
/// with exit code 130. One at a time, on the main thread: the handler has a stack of its own there,
/// and the threads of kernels::ThreadArena leave both signals to it.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  const std::atomic<bool>* flag() const;
  /// Sets the flag as a signal would.
  void stop();
  bool interrupted() const { return flag()->load(); }

 private:
  struct Saved;
  std::unique_ptr<Saved> saved_;
};

}  // namespace attnbench::cli
