// Plans and costs of variants that are the tiled softmax engine under one pattern over K and V.
#pragma once

#include <memory>

#include "attention/variant.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::kernels {

/// A plan that runs tiled_softmax over the call's K and V.
std::unique_ptr<Plan> make_tiled_plan(const Problem& problem,
                                      std::unique_ptr<const KeyPattern> pattern);

/// Its cost; `dense_flops(problem)` are the useful ones.
Cost tiled_plan_cost(const Problem& problem, const KeyPattern& pattern, int threads);

}  // namespace attnbench::kernels
