// Auxiliary tensors: whatever a variant needs that is random or learned (projections, random
// features, block lists). Each has a name and a shape and is drawn from the seed or given.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace attnbench {

/// Row-major values of any rank. Integer tensors (block lists, graph indices) use `ints`.
struct AuxTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  std::vector<std::int64_t> ints;
  bool is_integer = false;

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (std::int64_t s : shape) n *= s;
    return n;
  }
};

using AuxSet = std::map<std::string, AuxTensor>;

/// What `list` and `describe` say of an auxiliary tensor.
struct AuxSpec {
  std::string name;
  std::string shape;    ///< Symbolic: "[k, Nk]".
  std::string meaning;  ///< What it is, and how it is drawn when not given.
  bool is_integer = false;
};

/// "[128, 512]".
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace attnbench
