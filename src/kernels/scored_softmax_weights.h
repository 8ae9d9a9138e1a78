// Learned weights of score functions: given ones are checked, missing ones drawn from the seed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "attention/aux_tensor.h"
#include "attention/params.h"
#include "attention/result.h"

namespace attnbench::kernels {

/// One tensor of a score function.
struct WeightSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string symbols;      ///< "[d_a, D]", for messages.
  std::int64_t fan_in = 0;  ///< Drawn with variance 1 / fan_in; 0: zeros.
};

/// Where a size can be read off a given tensor.
struct SizeSource {
  std::string tensor;
  std::size_t axis = 0;
  std::size_t rank = 1;
};

/// The size that the first given tensor among `sources` fixes, which is written to `param`; else
/// the parameter's value, or `automatic` when it is auto.
std::int64_t weight_size(ParamValues& params, const std::string& param, std::int64_t automatic,
                         const AuxSet& given, std::initializer_list<SizeSource> sources);
/// The parameter alone.
std::int64_t weight_size(const ParamValues& params, const std::string& param,
                         std::int64_t automatic);

/// `given`, completed. Unknown names, integer tensors and other shapes are usage errors.
Result<AuxSet> complete_weights(const std::string& variant, const std::vector<WeightSpec>& specs,
                                AuxSet given, std::uint64_t seed);

}  // namespace attnbench::kernels
