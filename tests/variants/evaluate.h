// Runs a variant on tensors that a test wrote down.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "conformance.h"

namespace attnbench::testing {

constexpr double kSame = 3e-6;  // Two float32 evaluations of one function on up to 300 keys.

inline Problem one_head(std::int64_t seq_q, std::int64_t seq_k, std::int64_t dim) {
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.seq_q = seq_q;
  p.seq_k = seq_k;
  p.dim_qk = p.dim_v = dim;
  p.mode = seq_q == seq_k ? Mode::self : Mode::cross;
  return p;
}

/// A dense bhnd tensor with these values.
inline Tensor tensor_of(const std::array<std::int64_t, 4>& shape,
                        const std::vector<float>& values) {
  Tensor tensor(shape, Layout::bhnd);
  std::copy(values.begin(), values.end(), tensor.buffer().data());
  return tensor;
}

/// Runs on given inputs, checks them against the definition too, and returns the output.
inline Tensor evaluate(const std::string& name, const Problem& problem, const Inputs& inputs,
                       const std::map<std::string, std::string>& given = {}, AuxSet aux = {}) {
  const Variant& variant = named(name);
  ParamValues params = params_of(variant, given);
  auto completed = variant.complete_aux(problem, params, std::move(aux), 1);
  EXPECT_TRUE(completed) << (completed ? "" : completed.error().message);
  auto plan = variant.prepare(problem, params, *completed);
  EXPECT_TRUE(plan);
  Tensor out({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
  Workspace workspace(variant.cost(problem, params, 2).workspace_bytes);
  kernels::ThreadArena arena(2);
  (*plan)->run(inputs, out.view(), workspace, arena);
  const auto rows = all_rows(problem);
  const auto expected = variant.reference({problem, params, *completed, inputs, rows});
  EXPECT_LE(compare_rows(out.view(), rows, expected).relative_l2, variant.definition_tolerance());
  return out;
}

}  // namespace attnbench::testing
