// Input distributions. Values depend on the seed, the tensor's name and the element alone: the same
// at every thread count, and independent of the layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attention/problem.h"
#include "attention/result.h"
#include "attention/tensor.h"

namespace attnbench {

/// A stateless source of random numbers: value `index` of the stream (seed, stream).
class CounterRng {
 public:
  CounterRng(std::uint64_t seed, std::string_view stream);
  std::uint64_t bits(std::uint64_t index) const;
  double uniform(std::uint64_t index) const;  ///< In (0, 1).
  double normal(std::uint64_t index) const;   ///< Standard normal.

 private:
  std::uint64_t key_ = 0;
};

/// Q, K and V of one problem, owned.
struct InputTensors {
  Tensor q, k, v;
  Inputs view() const { return {q.view(), k.view(), v.view()}; }
};

/// The start of an input's text that names recorded tensors (capture.h).
inline constexpr std::string_view kCapturePrefix = "file:";

/// Names that draw_inputs accepts: gaussian, peaked, peaked=STD (the standard deviation of the
/// logits, default 4), heavy-tailed, local, sink.
const std::vector<std::string>& input_distributions();
/// The canonical name, or a usage error that lists what is accepted: a distribution, or "file:PATH"
/// (capture.h), of which only the form is checked.
Result<std::string> check_input_distribution(std::string_view text);

/// Draws the inputs of a problem. `distribution` is canonical (check_input_distribution).
InputTensors draw_inputs(const Problem& problem, const std::string& distribution,
                         std::uint64_t seed);

}  // namespace attnbench
