// attnbench_serve [--isa auto|avx2|avx512]: times single attention calls on request, so that a
// script can interleave them with other programs and other builds. Requests are JSON objects, one a
// line, on standard input; each gets one line back with "ok", or "error" with a "message". It ends
// at the end of its input.
//
//   {"do": "hello"}                        instruction set, variants, CPUs
//   {"do": "prepare", "id": "a", "variant": "flash", "heads": 8, "seq_q": 1024, "dim": 64,
//    "threads": 1, ...}                    cost model, workspace, error, seconds of a warm call
//   {"do": "time", "id": "a", "iterations": 10, "warm": 1}     seconds of all iterations
//   {"do": "ceilings", "threads": [1, 2], "seconds": 0.5}      all ceilings, kept for "bound"
//   {"do": "compute", "threads": 2, "seconds": 0.02}           multiply-add and exp rate, right now
//   {"do": "bound", "id": "a", "fma_flops_per_s": x, "exp_per_s": y}   roofline, seconds
//   {"do": "drop", "id": "a"}
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "attention/error_kind.h"
#include "bench/serve_case.h"
#include "kernels/ceilings.h"
#include "kernels/ceilings_simd.h"
#include "kernels/isa.h"
#include "measure/clock.h"
#include "measure/environment.h"

namespace attnbench::bench {
namespace {

using Json = nlohmann::json;

constexpr int kProtocol = 1;

/// What a request cannot have: answered, not fatal.
struct Refusal : std::runtime_error {
  Refusal(std::string what_kind, const std::string& message)
      : std::runtime_error(message), kind(std::move(what_kind)) {}
  std::string kind;
};

CaseSpec spec_from(const Json& request) {
  const auto integer = [&](const char* name, std::int64_t otherwise) {
    return request.value(name, otherwise);
  };
  CaseSpec spec;
  spec.variant = request.at("variant").get<std::string>();
  Problem& p = spec.problem;
  p.batch = integer("batch", 1);
  p.heads_q = integer("heads", 8);
  p.heads_kv = integer("kv_heads", p.heads_q);
  p.seq_q = integer("seq_q", 1024);
  p.seq_k = integer("seq_k", p.seq_q);
  p.dim_qk = integer("dim", 64);
  p.dim_v = integer("dim_v", p.dim_qk);
  p.causal = request.value("causal", false);
  const auto mode = parse_mode(request.value("mode", std::string("self")));
  if (!mode) throw Refusal("usage", mode.error().message);
  p.mode = *mode;
  spec.threads = static_cast<int>(integer("threads", 1));
  if (spec.threads < 1) throw Refusal("usage", "threads is below 1");
  spec.seed = request.value("seed", std::uint64_t{1});
  const auto input = check_input_distribution(request.value("input", std::string("gaussian")));
  if (!input) throw Refusal("usage", input.error().message);
  spec.input = *input;
  if (request.contains("params")) {
    spec.params = request["params"].get<std::map<std::string, std::string>>();
  }
  return spec;
}

std::vector<DataCache> data_caches() {
  std::vector<DataCache> caches;
  for (const measure::CacheInfo& cache : measure::read_machine().caches) {
    caches.push_back({cache.level, cache.bytes, cache.shared_by});
  }
  return caches;
}

Json to_json(const Ceilings& ceilings) {
  Json compute = Json::array(), bandwidth = Json::array();
  for (const ComputeCeiling& c : ceilings.compute) {
    compute.push_back(
        {{"threads", c.threads}, {"fma_flops_per_s", c.flops_per_s}, {"exp_per_s", c.exp_per_s}});
  }
  for (const BandwidthCeiling& b : ceilings.bandwidth) {
    bandwidth.push_back({{"level", b.level},
                         {"capacity_bytes", b.capacity_bytes},
                         {"threads", b.threads},
                         {"read_bytes_per_s", b.read_bytes_per_s},
                         {"copy_bytes_per_s", b.copy_bytes_per_s}});
  }
  return {{"isa", ceilings.isa}, {"compute", compute}, {"bandwidth", bandwidth}};
}

/// Exponentials per second of all threads of `executor`, best of several bursts within `seconds`.
double measure_exp_per_s(Executor& executor, double seconds) {
  constexpr std::size_t kValues = 1024;
  constexpr std::int64_t kPasses = 1000;  // Some half millisecond.
  FloatBuffer values(kValues);
  for (std::size_t i = 0; i < kValues; ++i) {
    values.data()[i] = -0.02F * static_cast<float>(i % 512);
  }
  const int threads = executor.threads();
  std::vector<float> sinks(static_cast<std::size_t>(threads) * 16);  // A cache line each.
  double best = 0;
  const double begin_s = measure::steady_now_s();
  do {
    const double start_s = measure::steady_now_s();
    executor.parallel_for(threads, [&](std::int64_t i, int) {
      sinks[static_cast<std::size_t>(i) * 16] = kernels::exp_loop(values.data(), kValues, kPasses);
    });
    const double elapsed_s = measure::steady_now_s() - start_s;
    best = std::max(best, static_cast<double>(threads) * kValues * kPasses / elapsed_s);
  } while (measure::steady_now_s() - begin_s < seconds);
  return best;
}

class Server {
 public:
  Json answer(const Json& request) {
    const auto what = request.at("do").get<std::string>();
    if (what == "hello") return hello();
    if (what == "prepare") return prepare(request);
    if (what == "time") return time(request);
    if (what == "ceilings") return ceilings(request);
    if (what == "compute") return compute(request);
    if (what == "bound") return bound(request);
    if (what == "drop") {
      cases_.erase(request.at("id").get<std::string>());
      return Json::object();
    }
    throw Refusal("usage", fmt::format("unknown request '{}'", what));
  }

 private:
  static Json hello() {
    return {{"protocol", kProtocol},
            {"isa", kernels::active_isa()},
            {"isas", kernels::available_isas()},
            {"variants", Registry::instance().names()},
            {"cpus", kernels::available_cpus()},
            {"compiler", __VERSION__}};
  }

  Json prepare(const Json& request) {
    const auto id = request.at("id").get<std::string>();
    cases_.erase(id);
    const CaseSpec spec = spec_from(request);
    auto made = PreparedCase::make(spec, tensors_);
    if (!made) throw Refusal(std::string(kind_name(made.error())), made.error().message);
    PreparedCase& prepared = **made;
    Executor& executor = arenas_.at(spec.threads);
    const Cost& cost = prepared.cost();
    Json reply = {{"params", prepared.params_text()},
                  {"performed_flops", cost.performed_flops},
                  {"exp_count", cost.exp_count},
                  {"min_bytes", cost.min_bytes},
                  {"traffic_bytes", cost.traffic_bytes},
                  {"useful_flops", cost.useful_flops ? Json(*cost.useful_flops) : Json()},
                  {"workspace_bytes", cost.workspace_bytes}};
    const auto rows = request.value("check_rows", std::int64_t{8});
    if (rows > 0) {
      const Check check = prepared.check(rows, executor);
      if (!check.passed()) {
        throw Refusal(
            "wrong", fmt::format("{}: error {:.3g} on {} rows, accepted up to {:.3g}", spec.variant,
                                 check.relative_l2, check.rows, check.tolerance));
      }
      reply["error_rel_l2"] = check.relative_l2;
      reply["checked_rows"] = check.rows;
    }
    // The call that was checked has warmed up for this one.
    reply["warm_call_s"] = prepared.time(1, rows > 0 ? 0 : 1, executor).wall_s;
    reply["workspace_peak_bytes"] = prepared.workspace_peak_bytes();
    cases_[id] = std::move(*made);
    return reply;
  }

  PreparedCase& find(const Json& request) {
    const auto id = request.at("id").get<std::string>();
    const auto found = cases_.find(id);
    if (found == cases_.end()) throw Refusal("usage", fmt::format("no case '{}'", id));
    return *found->second;
  }

  Json time(const Json& request) {
    PreparedCase& prepared = find(request);
    const auto iterations = request.at("iterations").get<std::int64_t>();
    if (iterations < 1) throw Refusal("usage", "iterations is below 1");
    const Elapsed elapsed = prepared.time(iterations, request.value("warm", std::int64_t{1}),
                                          arenas_.at(prepared.spec().threads));
    return {{"iterations", iterations}, {"wall_s", elapsed.wall_s}, {"cpu_s", elapsed.cpu_s}};
  }

  Json ceilings(const Json& request) {
    // The measurement makes arenas of its own, and only one may be alive.
    arenas_ = Arenas();
    ceilings_ = measure_ceilings(request.at("threads").get<std::vector<int>>(), data_caches(),
                                 request.at("seconds").get<double>());
    return to_json(ceilings_);
  }

  Json compute(const Json& request) {
    Executor& executor = arenas_.at(request.at("threads").get<int>());
    const double half_s = request.at("seconds").get<double>() / 2;
    // No burst counts that did not get all its threads at once: try again for a while.
    constexpr int kPatience = 10;
    double fma_flops_per_s = 0;
    for (int i = 0; i < kPatience && !(fma_flops_per_s > 0); ++i) {
      fma_flops_per_s = measure_fma_flops_per_s(executor, half_s);
    }
    return {{"fma_flops_per_s", fma_flops_per_s},
            {"exp_per_s", measure_exp_per_s(executor, half_s)}};
  }

  Json bound(const Json& request) {
    const PreparedCase& prepared = find(request);
    const int threads = prepared.spec().threads;
    Ceilings now = ceilings_;
    std::erase_if(now.compute, [&](const ComputeCeiling& c) { return c.threads == threads; });
    now.compute.push_back({threads, request.at("fma_flops_per_s").get<double>(),
                           request.at("exp_per_s").get<double>()});
    const Cost& cost = prepared.cost();
    const auto bound_s = roofline_bound_s(now, cost, threads, false);
    if (!bound_s) throw Refusal("usage", "no ceilings at this thread count yet");
    const double working_set = cost.min_bytes + static_cast<double>(cost.workspace_bytes);
    const BandwidthCeiling* level = now.bandwidth_at(threads, working_set, false);
    return {
        {"bound_s", *bound_s}, {"level", level->level}, {"bytes_per_s", level->best_bytes_per_s()}};
  }

  Arenas arenas_;
  TensorPool tensors_;
  Ceilings ceilings_;
  std::map<std::string, std::unique_ptr<PreparedCase>> cases_;
};

Json guarded(Server& server, const std::string& line) {
  try {
    Json reply = server.answer(Json::parse(line));
    reply["ok"] = true;
    return reply;
  } catch (const Refusal& refusal) {
    return {{"ok", false}, {"error", refusal.kind}, {"message", refusal.what()}};
  } catch (const Json::exception& error) {
    return {{"ok", false}, {"error", "usage"}, {"message", error.what()}};
  } catch (const std::bad_alloc&) {
    return {{"ok", false}, {"error", "out-of-memory"}, {"message", "an allocation failed"}};
  } catch (const std::exception& error) {
    return {{"ok", false}, {"error", "failed"}, {"message", error.what()}};
  }
}

int serve() {
  Server server;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    std::cout << guarded(server, line).dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace attnbench::bench

int main(int argc, char** argv) {
  std::string isa = "auto";
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else {
      std::cerr << "usage: attnbench_serve [--isa auto|avx2|avx512] < requests\n";
      return 2;
    }
  }
  if (const auto selected = attnbench::kernels::select_isa(isa); !selected) {
    std::cerr << "attnbench_serve: " << selected.error().message << '\n';
    return 2;
  }
  return attnbench::bench::serve();
}
