// Counts what the engines execute, for the tests that hold cost models against reality.
#pragma once

#include <atomic>
#include <cstdint>

namespace attnbench::kernels {

/// Multiply-adds of matrix products and exponentials, padding lanes left out.
struct OpCount {
  std::atomic<std::int64_t> multiply_adds{0};
  std::atomic<std::int64_t> additions{0};  ///< Of position encodings; one FLOP each.
  std::atomic<std::int64_t> exps{0};
  std::atomic<std::int64_t> float64_multiply_adds{0}, float64_exps{0};  ///< Of these, in float64.
};

/// The counter that engines add to, or null (the default): one predictable branch per tile.
inline std::atomic<OpCount*>& op_counter() {
  static std::atomic<OpCount*> counter{nullptr};
  return counter;
}

inline void count_ops(std::int64_t multiply_adds, std::int64_t exps) {
  if (OpCount* counter = op_counter().load(std::memory_order_relaxed)) {
    counter->multiply_adds.fetch_add(multiply_adds, std::memory_order_relaxed);
    counter->exps.fetch_add(exps, std::memory_order_relaxed);
  }
}

/// As count_ops(), of what is done in float64.
inline void count_float64_ops(std::int64_t multiply_adds, std::int64_t exps) {
  count_ops(multiply_adds, exps);
  if (OpCount* counter = op_counter().load(std::memory_order_relaxed)) {
    counter->float64_multiply_adds.fetch_add(multiply_adds, std::memory_order_relaxed);
    counter->float64_exps.fetch_add(exps, std::memory_order_relaxed);
  }
}

inline void count_additions(std::int64_t additions) {
  if (OpCount* counter = op_counter().load(std::memory_order_relaxed)) {
    counter->additions.fetch_add(additions, std::memory_order_relaxed);
  }
}

/// Counts while it lives. One at a time.
class ScopedOpCount {
 public:
  ScopedOpCount() { op_counter().store(&count_); }
  ~ScopedOpCount() { op_counter().store(nullptr); }
  ScopedOpCount(const ScopedOpCount&) = delete;
  ScopedOpCount& operator=(const ScopedOpCount&) = delete;
  double flops() const {
    return 2.0 * static_cast<double>(count_.multiply_adds.load()) +
           static_cast<double>(count_.additions.load());
  }
  double exps() const { return static_cast<double>(count_.exps.load()); }
  double float64_flops() const {
    return 2.0 * static_cast<double>(count_.float64_multiply_adds.load());
  }
  double float64_exps() const { return static_cast<double>(count_.float64_exps.load()); }

 private:
  OpCount count_;
};

}  // namespace attnbench::kernels
