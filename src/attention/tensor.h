// Float32 storage and strided views. A view's shape is always [B, H, N, D], whatever the memory
// layout; the innermost dimension is contiguous.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "attention/problem.h"

namespace attnbench {

constexpr std::size_t kTensorAlignment = 64;  ///< Bytes: a cache line, and one AVX-512 register.

/// Uninitialised 64-byte aligned floats. Throws std::bad_alloc.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  explicit FloatBuffer(std::size_t count);
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<float> span() { return {data_.get(), size_}; }
  std::span<const float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    std::size_t alignment;  ///< What it was allocated with, bytes.
    void operator()(float* p) const;
  };
  std::unique_ptr<float[], Free> data_;
  std::size_t size_ = 0;
};

/// A strided [B, H, N, D] view; strides in elements, stride of D is 1.
template <class T>
struct BasicTensorView {
  T* data = nullptr;
  std::array<std::int64_t, 4> shape{};   ///< B, H, N, D
  std::array<std::int64_t, 3> stride{};  ///< of B, H, N

  T* row(std::int64_t b, std::int64_t h, std::int64_t n) const {
    return data + b * stride[0] + h * stride[1] + n * stride[2];
  }
  T& at(std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t d) const {
    return row(b, h, n)[d];
  }
  std::int64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }

  template <class U = T, class = std::enable_if_t<!std::is_const_v<U>>>
  operator BasicTensorView<const T>() const {  // NOLINT(google-explicit-constructor)
    return {data, shape, stride};
  }
};
using TensorView = BasicTensorView<float>;
using ConstTensorView = BasicTensorView<const float>;

/// Strides (of B, H, N) of a dense [B, H, N, D] tensor stored in `layout`.
std::array<std::int64_t, 3> layout_strides(const std::array<std::int64_t, 4>& shape, Layout layout);

/// An owning dense tensor.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised. `shape` is [B, H, N, D]; `layout` decides the order in memory.
  Tensor(const std::array<std::int64_t, 4>& shape, Layout layout);
  TensorView view() { return {buffer_.data(), shape_, stride_}; }
  ConstTensorView view() const { return {buffer_.data(), shape_, stride_}; }
  const std::array<std::int64_t, 4>& shape() const { return shape_; }
  FloatBuffer& buffer() { return buffer_; }
  const FloatBuffer& buffer() const { return buffer_; }

 private:
  std::array<std::int64_t, 4> shape_{};
  std::array<std::int64_t, 3> stride_{};
  FloatBuffer buffer_;
};

/// The tensors of one call. Shapes as in Problem, unless the variant says otherwise.
struct Inputs {
  ConstTensorView q;
  ConstTensorView k;
  ConstTensorView v;
};

}  // namespace attnbench
