#include "cli/manifest_facts.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "cli/build_info.h"
#include "cli/report.h"

namespace attnbench::cli {
namespace {

ManifestMachine machine_facts(const measure::Machine& machine) {
  ManifestMachine facts;
  facts.cpu_model = machine.cpu_model;
  facts.vendor = machine.vendor;
  facts.family = machine.family;
  facts.model = machine.model;
  facts.stepping = machine.stepping;
  facts.microcode = machine.microcode;
  facts.cores = machine.cores;
  facts.smt = machine.smt;
  facts.numa_nodes = machine.numa_nodes;
  for (const measure::CacheInfo& cache : machine.caches) {
    facts.caches.push_back({cache.level, cache.type, cache.bytes, cache.shared_by});
  }
  facts.memory_bytes = machine.memory_bytes;
  facts.governor = machine.governor;
  facts.turbo = machine.turbo;
  facts.kernel = machine.kernel;
  facts.virtualised = machine.virtualised;
  return facts;
}

std::string utc_text(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), format, &parts);
  return text.data();
}

}  // namespace

Manifest manifest_facts(const Context& context, const measure::Machine& machine,
                        const Ceilings& ceilings) {
  const BuildInfo build = build_info();
  Manifest manifest;
  manifest.command = shell_quoted(context.arguments);
  manifest.tool = {build.version, build.git, build.compiler, build.flags};
  manifest.libraries = build.libraries;
  manifest.machine = machine_facts(machine);
  manifest.isa = ceilings.isa;
  for (const ComputeCeiling& roof : ceilings.compute) {
    manifest.compute.push_back({roof.threads, roof.flops_per_s / 1e9, roof.exp_per_s});
  }
  for (const BandwidthCeiling& roof : ceilings.bandwidth) {
    manifest.bandwidth.push_back({roof.level, roof.capacity_bytes, roof.threads,
                                  roof.read_bytes_per_s / 1e9, roof.copy_bytes_per_s / 1e9});
  }
  return manifest;
}

std::map<std::string, double> noise_map(const measure::NoiseFigures& noise) {
  return {{"load_1min", noise.load_1min},
          {"steal_fraction", noise.steal_fraction},
          {"other_cpu_fraction", noise.other_cpu_fraction},
          {"involuntary_switches_per_s", noise.involuntary_switches_per_s}};
}

std::vector<DataCache> data_caches(const measure::Machine& machine) {
  std::vector<DataCache> caches;
  for (const measure::CacheInfo& cache : machine.caches) {
    caches.push_back({cache.level, cache.bytes, cache.shared_by});
  }
  return caches;
}

PlanRates plan_rates(const Ceilings& ceilings, const measure::Machine& machine) {
  constexpr double kUsualFraction = 0.5;
  PlanRates rates;
  if (const ComputeCeiling* compute = ceilings.compute_at(1)) {
    rates.flops_per_s_per_thread = kUsualFraction * compute->flops_per_s;
    rates.exp_per_s_per_thread = kUsualFraction * compute->exp_per_s;
  }
  if (const BandwidthCeiling* memory = ceilings.bandwidth_at(1, 0, true)) {
    rates.bytes_per_s = kUsualFraction * memory->read_bytes_per_s;
  }
  for (const measure::CacheInfo& cache : machine.caches) {
    rates.last_level_cache_bytes = static_cast<double>(cache.bytes);
  }
  return rates;
}

std::string utc_now() { return utc_text("%Y-%m-%dT%H:%M:%SZ"); }
std::string utc_now_compact() { return utc_text("%Y%m%dT%H%M%SZ"); }

}  // namespace attnbench::cli
