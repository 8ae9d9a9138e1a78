#include "attention/weight_matrices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"

namespace attnbench {
namespace {

AuxTensor draw(const WeightShape& shape, std::uint64_t seed) {
  const CounterRng rng(seed, shape.name);
  const double deviation = 1 / std::sqrt(static_cast<double>(shape.in));
  AuxTensor w{{shape.in, shape.out}, {}, {}, false};
  w.values.reserve(static_cast<std::size_t>(shape.in * shape.out));
  for (std::int64_t at = 0; at < shape.in * shape.out; ++at) {
    w.values.push_back(static_cast<float>(deviation * rng.normal(static_cast<std::uint64_t>(at))));
  }
  return w;
}

}  // namespace

Result<AuxSet> complete_weights(const std::string& variant, std::span<const WeightShape> shapes,
                                const std::string& sizes, AuxSet given, std::uint64_t seed) {
  for (const auto& [name, tensor] : given) {
    const auto shape = std::ranges::find(shapes, name, &WeightShape::name);
    if (shape == shapes.end()) {
      std::vector<std::string> names;
      for (const WeightShape& known : shapes) names.push_back(known.name);
      return usage_error(fmt::format("{} has the auxiliary tensors {}, '{}' was given", variant,
                                     fmt::join(names, ", "), name));
    }
    if (tensor.is_integer || tensor.shape != std::vector<std::int64_t>{shape->in, shape->out}) {
      return usage_error(
          fmt::format("{}: {} has shape {}, accepted is floating point [{}, {}] with {}", variant,
                      name, shape_text(tensor.shape), shape->in, shape->out, sizes));
    }
  }
  for (const WeightShape& shape : shapes) {
    if (!given.contains(shape.name)) given[shape.name] = draw(shape, seed);
  }
  return given;
}

std::vector<double> row_times64(std::span<const double> x, const AuxTensor& w, std::int64_t begin,
                                std::int64_t count) {
  const auto columns = static_cast<std::size_t>(w.shape[1]);
  std::vector<double> y(static_cast<std::size_t>(count), 0.0);
  for (std::size_t a = 0; a < x.size(); ++a) {
    const float* row = w.values.data() + a * columns + begin;
    for (std::size_t c = 0; c < y.size(); ++c) y[c] += x[a] * static_cast<double>(row[c]);
  }
  return y;
}

std::vector<double> row_times64(std::span<const double> x, const AuxTensor& w) {
  return row_times64(x, w, 0, w.shape[1]);
}

std::vector<double> times_column64(const AuxTensor& w, std::int64_t begin,
                                   std::span<const double> y) {
  const auto columns = static_cast<std::size_t>(w.shape[1]);
  std::vector<double> x(static_cast<std::size_t>(w.shape[0]), 0.0);
  for (std::size_t a = 0; a < x.size(); ++a) {
    const float* row = w.values.data() + a * columns + begin;
    for (std::size_t c = 0; c < y.size(); ++c) x[a] += static_cast<double>(row[c]) * y[c];
  }
  return x;
}

double dot64(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

}  // namespace attnbench
