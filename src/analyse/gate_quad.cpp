#include "analyse/gate_quad.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace attnbench::analyse {

double Quad::base_s() const {
  return std::sqrt(base_first ? seconds[0] * seconds[3] : seconds[1] * seconds[2]);
}

double Quad::head_s() const {
  return std::sqrt(base_first ? seconds[1] * seconds[2] : seconds[0] * seconds[3]);
}

std::optional<double> quad_value(const Quad& quad) {
  std::array<double, 4> logs{};
  for (std::size_t i = 0; i < logs.size(); ++i) {
    if (!(quad.seconds[i] > 0) || !std::isfinite(quad.seconds[i])) return std::nullopt;
    logs[i] = std::log(quad.seconds[i]);
  }
  const double inner_minus_outer = ((logs[1] - logs[0]) + (logs[2] - logs[3])) / 2;
  return quad.base_first ? inner_minus_outer : -inner_minus_outer;
}

std::optional<double> launch_value(std::span<const Quad> quads) {
  constexpr std::size_t kMedianFrom = 4;
  std::vector<double> values;
  for (const Quad& quad : quads) {
    const std::optional<double> value = quad_value(quad);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  if (values.size() < kMedianFrom) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace attnbench::analyse
