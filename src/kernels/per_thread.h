// What each thread of a call has to itself. Internal to kernels/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attnbench::kernels {

/// One T for every thread, by slot, no two in the same line of a cache: threads that write side by
/// side in one line wait for each other. Two lines of 64 bytes, because adjacent ones are fetched
/// together.
template <class T>
class PerThread {
 public:
  /// `make(slot)` is what the slot begins with.
  template <class Make>
  PerThread(int threads, Make make) {
    slots_.reserve(static_cast<std::size_t>(threads));
    for (int slot = 0; slot < threads; ++slot) slots_.push_back(Slot{make(slot)});
  }
  explicit PerThread(int threads) : slots_(static_cast<std::size_t>(threads)) {}

  T& operator[](int slot) { return slots_[static_cast<std::size_t>(slot)].value; }

 private:
  struct alignas(128) Slot {
    T value{};
  };
  std::vector<Slot> slots_;
};

}  // namespace attnbench::kernels
