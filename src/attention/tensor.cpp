#include "attention/tensor.h"

#include <new>

namespace attnbench {

FloatBuffer::FloatBuffer(std::size_t count) : size_(count) {
  if (count == 0) return;
  // Rounded up so that a whole vector may be read at the end of the last row.
  const std::size_t bytes =
      (count * sizeof(float) + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
  if (bytes / sizeof(float) < count) throw std::bad_alloc();
  data_.reset(static_cast<float*>(::operator new[](bytes, std::align_val_t(kTensorAlignment))));
}

void FloatBuffer::Free::operator()(float* p) const {
  ::operator delete[](p, std::align_val_t(kTensorAlignment));
}

std::array<std::int64_t, 3> layout_strides(const std::array<std::int64_t, 4>& shape,
                                           Layout layout) {
  const auto [b, h, n, d] = shape;
  (void)b;
  if (layout == Layout::bnhd) return {n * h * d, d, h * d};
  return {h * n * d, n * d, d};
}

Tensor::Tensor(const std::array<std::int64_t, 4>& shape, Layout layout)
    : shape_(shape),
      stride_(layout_strides(shape, layout)),
      buffer_(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3])) {}

}  // namespace attnbench
