#include "kernels/scored_softmax_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "attention/inputs.h"

namespace attnbench::kernels {
namespace {

AuxTensor draw(const WeightSpec& spec, std::uint64_t seed) {
  AuxTensor tensor{spec.shape, {}, {}, false};
  tensor.values.assign(static_cast<std::size_t>(tensor.elements()), 0.0F);
  if (spec.fan_in == 0) return tensor;
  const CounterRng rng(seed, spec.name);
  const double deviation = 1 / std::sqrt(static_cast<double>(spec.fan_in));
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    tensor.values[i] = static_cast<float>(deviation * rng.normal(i));
  }
  return tensor;
}

Error unknown_tensor(const std::string& variant, const std::vector<WeightSpec>& specs,
                     const std::string& name) {
  std::vector<std::string> known;
  for (const WeightSpec& spec : specs) known.push_back(spec.name);
  return usage_error(fmt::format("{} has the auxiliary tensors {}; '{}' was given", variant,
                                 fmt::join(known, ", "), name));
}

}  // namespace

std::int64_t weight_size(const ParamValues& params, const std::string& param,
                         std::int64_t automatic) {
  return params.is_auto(param) ? automatic : params.integer(param);
}

std::int64_t weight_size(ParamValues& params, const std::string& param, std::int64_t automatic,
                         const AuxSet& given, std::initializer_list<SizeSource> sources) {
  for (const SizeSource& source : sources) {
    const auto found = given.find(source.tensor);
    if (found == given.end() || found->second.shape.size() != source.rank) continue;
    const std::int64_t size = found->second.shape[source.axis];
    if (size < 1) continue;
    params.set(param, std::to_string(size));
    return size;
  }
  return weight_size(params, param, automatic);
}

Result<AuxSet> complete_weights(const std::string& variant, const std::vector<WeightSpec>& specs,
                                AuxSet given, std::uint64_t seed) {
  for (const auto& [name, tensor] : given) {
    const auto spec = std::ranges::find(specs, name, &WeightSpec::name);
    if (spec == specs.end()) return unknown_tensor(variant, specs, name);
    if (tensor.is_integer || tensor.shape != spec->shape) {
      return usage_error(fmt::format("{}: {} is {} {}, accepted is floating point {} = {}", variant,
                                     name, tensor.is_integer ? "integer" : "floating point",
                                     shape_text(tensor.shape), spec->symbols,
                                     shape_text(spec->shape)));
    }
  }
  for (const WeightSpec& spec : specs) {
    if (!given.contains(spec.name)) given[spec.name] = draw(spec, seed);
  }
  return given;
}

}  // namespace attnbench::kernels
