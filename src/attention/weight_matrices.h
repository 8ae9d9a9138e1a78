// Weight matrices of whole layers: their shapes, how they are drawn, and products in float64.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attention/aux_tensor.h"
#include "attention/result.h"

namespace attnbench {

/// A matrix [in][out], row-major: y = x W.
struct WeightShape {
  std::string name;
  std::int64_t in = 0;
  std::int64_t out = 0;
};

/// The given matrices, checked against these shapes, and the missing ones drawn from `seed`:
/// independent normal values of variance 1/in, which keeps the variance of independent inputs.
/// `sizes` tells in error messages what the shapes follow from ("8 heads of 64, d_model 512").
Result<AuxSet> complete_weights(const std::string& variant, std::span<const WeightShape> shapes,
                                const std::string& sizes, AuxSet given, std::uint64_t seed);

/// Columns [begin, begin + count) of x W in float64; x has W's `in` numbers.
std::vector<double> row_times64(std::span<const double> x, const AuxTensor& w, std::int64_t begin,
                                std::int64_t count);
/// All columns.
std::vector<double> row_times64(std::span<const double> x, const AuxTensor& w);

/// W restricted to columns [begin, begin + y.size()), times y: the transpose of the above, so that
/// (x W) . y = x . times_column64(W, begin, y).
std::vector<double> times_column64(const AuxTensor& w, std::int64_t begin,
                                   std::span<const double> y);

double dot64(std::span<const double> a, std::span<const double> b);

}  // namespace attnbench
