// What the suites over all variants share: one case is a variant, parameters, a problem and inputs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/inputs.h"
#include "attention/reference.h"
#include "attention/registry.h"
#include "kernels/arena.h"
#include "kernels/isa.h"

namespace attnbench::testing {

/// A registered variant. By view: GCC 14 takes a reference made from a temporary string's for one
/// into it.
inline const Variant& named(std::string_view name) {
  return *Registry::instance().find(std::string(name));
}

struct VariantRun {
  Problem problem;
  ParamValues params;
  AuxSet aux;
  InputTensors inputs;
  Tensor output;
  Cost cost;
  std::size_t workspace_peak = 0;
};

/// Parameters as given over the defaults; the test fails on unknown ones.
ParamValues params_of(const Variant& variant, const std::map<std::string, std::string>& given = {});

/// Draws inputs, completes aux, prepares and runs once on `threads` threads.
VariantRun run_variant(const Variant& variant, const Problem& problem, const ParamValues& params,
                       int threads = 1, const std::string& input = "gaussian",
                       std::uint64_t seed = 1, AuxSet aux = {});

/// What draw_inputs() gives, drawn once for each shape, layout, distribution and seed.
InputTensors drawn_inputs(const Problem& problem, const std::string& input, std::uint64_t seed);

/// The variant's own float64 definition of the whole output.
ReferenceRows definition_of(const Variant& variant, const VariantRun& run);
/// Relative L2 error of the whole output against it.
double error_against(const ReferenceRows& expected, const VariantRun& run);
/// Both.
double definition_error(const Variant& variant, const VariantRun& run);
/// ... and against another tensor of the same shape.
double relative_difference(const Tensor& a, const Tensor& b);

/// Problems of every kind: odd sizes, one token, cross, grouped heads, causal, Dv != D, more
/// queries than keys (rows without a key when causal), padded batches, both layouts.
const std::vector<Problem>& problem_grid();
/// Problems whose rows or logits change: positions, soft cap, sink, in combinations, on tiles of
/// every kind. Variants that do not take them refuse.
const std::vector<Problem>& scored_problem_grid();
std::string problem_name(const Problem& problem);

/// Parameter sets worth testing beside the defaults: every choice, and small sizes.
std::vector<ParamValues> param_sets(const Variant& variant);

}  // namespace attnbench::testing
