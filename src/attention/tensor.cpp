#include "attention/tensor.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <new>

namespace attnbench {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Memory of `bytes`, aligned as its size deserves.
std::size_t alignment(std::size_t bytes) {
  return bytes >= kHugePage ? kHugePage : kTensorAlignment;
}

}  // namespace

FloatBuffer::FloatBuffer(std::size_t count) : size_(count) {
  if (count == 0) return;
  // Rounded up so that a whole vector may be read at the end of the last row.
  const std::size_t bytes =
      (count * sizeof(float) + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
  if (bytes / sizeof(float) < count) throw std::bad_alloc();
  const std::size_t aligned = alignment(bytes);
  auto* memory = static_cast<float*>(::operator new[](bytes, std::align_val_t(aligned)));
  data_ = std::unique_ptr<float[], Free>(memory, Free{aligned});
#if defined(MADV_HUGEPAGE)
  // A wish: where the kernel has no huge pages to give, small ones do.
  if (aligned == kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
}

void FloatBuffer::Free::operator()(float* p) const {
  ::operator delete[](p, std::align_val_t(alignment));
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
