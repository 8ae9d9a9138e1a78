#include "conformance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

#include "attention/score_terms.h"

namespace attnbench::testing {
namespace {

Problem make(std::int64_t batch, std::int64_t heads_q, std::int64_t heads_kv, std::int64_t seq_q,
             std::int64_t seq_k, std::int64_t dim_qk, std::int64_t dim_v, bool causal) {
  Problem p;
  p.batch = batch;
  p.heads_q = heads_q;
  p.heads_kv = heads_kv;
  p.seq_q = seq_q;
  p.seq_k = seq_k;
  p.dim_qk = dim_qk;
  p.dim_v = dim_v;
  p.causal = causal;
  p.mode = seq_q == seq_k ? Mode::self : Mode::cross;
  return p;
}

std::vector<Problem> build_grid() {
  std::vector<Problem> grid;
  for (bool causal : {false, true}) {
    grid.push_back(make(1, 1, 1, 1, 1, 64, 64, causal));
    grid.push_back(make(1, 1, 1, 1, 37, 64, 64, causal));
    grid.push_back(make(2, 2, 2, 63, 63, 32, 32, causal));
    grid.push_back(make(1, 2, 1, 64, 64, 64, 64, causal));
    grid.push_back(make(1, 1, 1, 65, 65, 80, 48, causal));
    grid.push_back(make(2, 6, 2, 100, 100, 24, 40, causal));
    grid.push_back(make(1, 2, 2, 257, 257, 64, 64, causal));
    grid.push_back(make(1, 4, 1, 130, 130, 17, 5, causal));
    grid.push_back(make(1, 2, 2, 33, 200, 64, 64, causal));
    grid.push_back(make(1, 2, 1, 200, 70, 16, 16, causal));
    grid.push_back(make(1, 1, 1, 3, 2, 1, 1, causal));
    grid.push_back(make(1, 1, 1, 300, 300, 128, 128, causal));
    grid.push_back(make(1, 1, 1, 1, 700, 64, 64, causal));
    grid.push_back(make(1, 6, 1, 9, 600, 48, 20, causal));
    Problem interleaved = make(2, 4, 2, 90, 90, 32, 20, causal);
    interleaved.layout = Layout::bnhd;
    grid.push_back(interleaved);
    Problem padded = make(3, 2, 2, 70, 70, 32, 32, causal);
    padded.key_lengths = {70, 41, 0};
    grid.push_back(padded);
    Problem scaled = make(1, 2, 2, 50, 50, 32, 32, causal);
    scaled.scale = 0.05;
    grid.push_back(scaled);
  }
  return grid;
}

std::vector<Problem> build_scored_grid() {
  std::vector<Problem> grid;
  const auto add = [&](Problem problem, Position position, std::optional<double> softcap,
                       bool sink) {
    problem.position = position;
    problem.softcap = softcap;
    if (sink) problem.sink = draw_sink(problem.heads_q, 5);
    grid.push_back(problem);
  };
  for (const bool causal : {false, true}) {
    Problem padded = make(3, 4, 2, 70, 70, 32, 20, causal);
    padded.layout = Layout::bnhd;
    padded.key_lengths = {70, 41, 0};
    add(padded, Position::rope, {}, true);
    add(padded, Position::alibi, 3.0, true);
    add(make(1, 2, 1, 33, 150, 17, 5, causal), Position::sinusoidal, 30.0, false);
    // Rows without a key, and queries before the first one; 6 heads have slopes of two kinds.
    add(make(1, 6, 2, 150, 70, 16, 16, causal), Position::alibi, {}, true);
    add(make(1, 2, 2, 150, 70, 16, 16, causal), Position::rope, {}, false);
    add(make(1, 2, 1, 40, 60, 44, 16, causal), Position::rope, {}, false);
    grid.back().rope = {true, 500};
    // Few queries, whose keys several threads share.
    add(make(1, 3, 1, 1, 700, 64, 64, causal), Position::alibi, 2.0, true);
    add(make(1, 6, 1, 9, 600, 48, 20, causal), Position::none, 2.0, true);
    add(make(1, 1, 1, 257, 257, 64, 64, causal), Position::none, 1.0, false);
  }
  Problem decode = make(1, 2, 1, 1, 300, 32, 32, true);
  decode.mode = Mode::decode;
  add(decode, Position::rope, {}, false);
  return grid;
}

}  // namespace

ParamValues params_of(const Variant& variant, const std::map<std::string, std::string>& given) {
  auto params = resolve_params(variant.info().name, variant.info().params, given);
  EXPECT_TRUE(params) << (params ? "" : params.error().message);
  return *params;
}

InputTensors drawn_inputs(const Problem& p, const std::string& input, std::uint64_t seed) {
  // Drawing takes longer than most kernels here, and suites go over the same problems many times.
  using Shape = std::array<std::int64_t, 7>;
  static std::map<std::tuple<Shape, Layout, std::string, std::uint64_t>, InputTensors> drawn;
  const Shape shape{p.batch, p.heads_q, p.heads_kv, p.seq_q, p.seq_k, p.dim_qk, p.dim_v};
  const auto [at, is_new] = drawn.try_emplace({shape, p.layout, input, seed});
  if (is_new) at->second = draw_inputs(p, input, seed);
  const auto copy = [&](const Tensor& from) {
    Tensor to(from.shape(), p.layout);
    std::ranges::copy(from.buffer().span(), to.buffer().span().begin());
    return to;
  };
  return {copy(at->second.q), copy(at->second.k), copy(at->second.v)};
}

VariantRun run_variant(const Variant& variant, const Problem& problem, const ParamValues& params,
                       int threads, const std::string& input, std::uint64_t seed, AuxSet aux) {
  VariantRun run{problem, params, {}, drawn_inputs(problem, input, seed), {}, {}, 0};
  run.output =
      Tensor({problem.batch, problem.heads_q, problem.seq_q, problem.dim_v}, problem.layout);
  // A kernel that leaves rows out is found by what was there before.
  for (float& x : run.output.buffer().span()) x = NAN;
  auto completed = variant.complete_aux(problem, run.params, std::move(aux), seed);
  EXPECT_TRUE(completed) << (completed ? "" : completed.error().message);
  run.aux = *completed;
  auto plan = variant.prepare(problem, run.params, run.aux);
  EXPECT_TRUE(plan) << (plan ? "" : plan.error().message);
  run.cost = variant.cost(problem, run.params, threads);
  Workspace workspace(run.cost.workspace_bytes);
  kernels::ThreadArena arena(threads);
  (*plan)->run(run.inputs.view(), run.output.view(), workspace, arena);
  run.workspace_peak = workspace.peak_bytes();
  return run;
}

ReferenceRows definition_of(const Variant& variant, const VariantRun& run) {
  const auto rows = all_rows(run.problem);
  return variant.reference({run.problem, run.params, run.aux, run.inputs.view(), rows});
}

double error_against(const ReferenceRows& expected, const VariantRun& run) {
  return compare_rows(run.output.view(), all_rows(run.problem), expected).relative_l2;
}

double definition_error(const Variant& variant, const VariantRun& run) {
  return error_against(definition_of(variant, run), run);
}

double relative_difference(const Tensor& a, const Tensor& b) {
  double difference = 0, norm = 0;
  const auto [batch, heads, seq, dim] = a.shape();
  for (std::int64_t i = 0; i < batch; ++i) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t n = 0; n < seq; ++n) {
        for (std::int64_t d = 0; d < dim; ++d) {
          const double x = static_cast<double>(a.view().at(i, h, n, d));
          const double y = static_cast<double>(b.view().at(i, h, n, d));
          difference += (x - y) * (x - y);
          norm += y * y;
        }
      }
    }
  }
  return norm > 0 ? std::sqrt(difference / norm) : difference;
}

const std::vector<Problem>& problem_grid() {
  static const std::vector<Problem> grid = build_grid();
  return grid;
}

const std::vector<Problem>& scored_problem_grid() {
  static const std::vector<Problem> grid = build_scored_grid();
  return grid;
}

std::string problem_name(const Problem& p) {
  std::string name = p.describe();
  if (p.scale) name += " scaled";
  return name;
}

std::vector<ParamValues> param_sets(const Variant& variant) {
  std::vector<ParamValues> sets{params_of(variant)};
  for (const ParamSpec& spec : variant.info().params) {
    std::vector<std::string> values = spec.choices;
    if (spec.type == ParamSpec::Type::boolean) values = {"true", "false"};
    if (spec.type == ParamSpec::Type::integer) {
      for (int value : {-1, 0, 1, 3, 16, 37}) {
        if (spec.minimum && value < *spec.minimum) continue;
        if (spec.maximum && value > *spec.maximum) continue;
        values.push_back(std::to_string(value));
      }
    }
    for (const std::string& value : values) {
      if (value != spec.default_text) sets.push_back(params_of(variant, {{spec.name, value}}));
    }
  }
  return sets;
}

}  // namespace attnbench::testing
