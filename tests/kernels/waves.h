// Tensors of one batch row whose values are waves, for tests of engines.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "attention/tensor.h"

namespace attnbench::kernels {

/// [1, heads, rows, dim]: sin(step i + 1/2), or NaN where step is.
inline Tensor waves(std::int64_t heads, std::int64_t rows, std::int64_t dim, float step) {
  Tensor t({1, heads, rows, dim}, Layout::bhnd);
  for (std::size_t i = 0; i < t.buffer().size(); ++i) {
    t.buffer().data()[i] = std::sin(step * static_cast<float>(i % 7919) + 0.5F);
  }
  return t;
}

/// A projection [features][dim], likewise.
inline std::vector<float> wave_projection(std::int64_t features, std::int64_t dim) {
  std::vector<float> omega(static_cast<std::size_t>(features * dim));
  for (std::size_t i = 0; i < omega.size(); ++i) omega[i] = std::sin(0.9F * static_cast<float>(i));
  return omega;
}

}  // namespace attnbench::kernels
