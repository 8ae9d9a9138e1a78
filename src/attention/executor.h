// What a running variant may use besides its inputs: threads and scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "attention/tensor.h"

namespace attnbench {

/// Runs loops on a fixed number of threads. Implemented by kernels::ThreadArena.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual int threads() const = 0;
  /// Calls body(index, slot) once for every index in [0, count); `slot` in [0, threads()) is unique
  /// among the calls in flight. Indices start in increasing order, so put the longest work first.
  virtual void parallel_for(std::int64_t count,
                            const std::function<void(std::int64_t index, int slot)>& body) = 0;
};

/// A bump allocator over one pre-faulted block, which records its exact high-water mark. Not thread
/// safe: take the memory of all threads before the parallel loop.
class Workspace {
 public:
  Workspace() = default;
  /// A block of `bytes`, touched so that no page fault falls into a timed region. Throws
  /// std::bad_alloc.
  explicit Workspace(std::size_t bytes);

  /// `count` uninitialised floats, 64-byte aligned; each request is rounded up to 64 bytes. Throws
  /// std::length_error when the block is too small: the variant's cost model is then wrong.
  float* take(std::size_t count);
  /// Gives everything back; the high-water mark stays.
  void reset() { used_ = 0; }
  std::size_t peak_bytes() const { return peak_; }
  std::size_t capacity_bytes() const { return capacity_; }

 private:
  FloatBuffer block_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

/// Bytes that Workspace::take(count) uses: count floats rounded up to 64 bytes. Cost models add
/// these up.
constexpr std::size_t workspace_take_bytes(std::size_t count) {
  return (count * sizeof(float) + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

}  // namespace attnbench
