#include "cli/aa_noise.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "cli/eval_call.h"
#include "kernels/arena.h"
#include "measure/clock.h"
#include "measure/policy.h"
#include "measure/sampler.h"

namespace attnbench::cli {
namespace {

constexpr int kSamples = 64;
constexpr double kSampleSeconds = 5e-3;

/// The call that is timed: flash where there is one, else the first variant that can.
Result<EvalCall> noise_call(const Registry& registry) {
  EvalCall call;
  call.problem.heads_q = call.problem.heads_kv = 4;
  call.problem.seq_q = call.problem.seq_k = 256;
  std::vector<const Variant*> candidates{registry.find("flash")};
  for (const Variant* variant : registry.all()) candidates.push_back(variant);
  for (const Variant* variant : candidates) {
    if (variant == nullptr) continue;
    auto params = resolve_params(variant->info().name, variant->info().params, {});
    if (!params || variant->refusal(call.problem, *params)) continue;
    auto aux = variant->complete_aux(call.problem, *params, {}, 1);
    if (!aux) continue;
    return EvalCall{variant, call.problem, std::move(*params), std::move(*aux)};
  }
  return unsupported_error("no variant can run the kernel that measures the noise");
}

double quantile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  const double position = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double part = position - static_cast<double>(below);
  return values[below] * (1 - part) + values[above] * part;
}

}  // namespace

AaNoise aa_noise(std::span<const double> samples_s) {
  if (samples_s.size() < 4) throw std::invalid_argument("A/A noise needs four samples");
  std::vector<double> a, b;
  for (std::size_t i = 0; i < samples_s.size(); ++i) {
    (i % 4 == 0 || i % 4 == 3 ? a : b).push_back(samples_s[i]);
  }
  const std::vector<double> all(samples_s.begin(), samples_s.end());
  AaNoise noise;
  noise.samples = static_cast<int>(all.size());
  noise.median_s = quantile(all, 0.5);
  noise.spread = (quantile(all, 0.75) - quantile(all, 0.25)) / 1.349 / noise.median_s;
  noise.difference = quantile(b, 0.5) / quantile(a, 0.5) - 1;
  return noise;
}

Result<AaNoise> measure_aa_noise(const Registry& registry) {
  const auto call = noise_call(registry);
  if (!call) return call.error();
  const Problem& p = call->problem;
  kernels::ThreadArena arena(1);
  auto prepared = PreparedCall::make(*call, arena);
  if (!prepared) return prepared.error();
  const InputTensors inputs = draw_inputs(p, "gaussian", 1);
  Tensor output({p.batch, p.heads_q, p.seq_q, p.dim_v}, p.layout);
  measure::Sampler sampler("aa_noise", [&] { prepared->run(inputs.view(), output.view()); });
  sampler.sample(1);
  const std::int64_t iterations = measure::inner_iterations(
      sampler.sample(1).wall_s, kSampleSeconds, measure::clock_resolution_s());
  std::vector<double> samples;
  for (int i = 0; i < kSamples; ++i) samples.push_back(sampler.sample(iterations).wall_s);
  return aa_noise(samples);
}

}  // namespace attnbench::cli
