// Rotary positions in float64: the definition that kernels are held against.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attnbench {

/// position * base^(-2 i / dim): the angle of pair i.
inline double rotary_angle(std::int64_t position, std::int64_t i, std::int64_t dim,
                           double base = 10000) {
  return static_cast<double>(position) *
         std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
}

/// A row of even length, rotated to its position, in pairs (i, i + dim / 2).
inline std::vector<double> rotated64(std::vector<double> row, std::int64_t position) {
  const std::size_t half = row.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double angle =
        rotary_angle(position, static_cast<std::int64_t>(i), static_cast<std::int64_t>(row.size()));
    const double x = row[i], y = row[half + i];
    row[i] = x * std::cos(angle) - y * std::sin(angle);
    row[half + i] = x * std::sin(angle) + y * std::cos(angle);
  }
  return row;
}

}  // namespace attnbench
