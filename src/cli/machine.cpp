// attnbench machine: what this machine can do, and how quiet it is.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/aa_noise.h"
#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/help.h"
#include "cli/manifest_facts.h"
#include "cli/report.h"
#include "cli/text_table.h"
#include "kernels/arena.h"
#include "kernels/isa.h"
#include "record/json.h"
#include "record/markdown.h"

namespace attnbench::cli {
namespace {

using Align = TextTable::Align;

void print_facts(std::ostream& out, const Manifest& manifest) {
  const ManifestMachine& machine = manifest.machine;
  const auto line = [&](const char* title, const std::string& text) {
    if (!text.empty()) out << fmt::format("{:<14}{}\n", title, text);
  };
  line("CPU", machine.cpu_model);
  line("instructions", manifest.isa);
  line("cores",
       fmt::format("{}{}, {} NUMA node{}", machine.cores, machine.smt ? " logical (SMT on)" : "",
                   machine.numa_nodes, machine.numa_nodes == 1 ? "" : "s"));
  std::string caches;
  for (const ManifestCache& cache : machine.caches) {
    caches += fmt::format("{}L{} {}", caches.empty() ? "" : ", ", cache.level,
                          bytes_text(static_cast<double>(cache.bytes)));
    if (cache.shared_by > 1) caches += fmt::format(" (shared by {})", cache.shared_by);
  }
  line("caches", caches);
  line("memory", bytes_text(static_cast<double>(machine.memory_bytes)));
  line("governor", machine.governor);
  line("turbo", machine.turbo);
  line("kernel", machine.kernel);
  if (machine.virtualised) line("virtualised", *machine.virtualised ? "yes" : "no");
}

void print_ceilings(std::ostream& out, const Manifest& manifest) {
  TextTable compute(
      {{"threads", Align::right}, {"FMA GFLOP/s", Align::right}, {"exp G/s", Align::right}});
  for (const ManifestCompute& roof : manifest.compute) {
    compute.add({std::to_string(roof.threads), fmt::format("{:.1f}", roof.fma_gflops),
                 fmt::format("{:.2f}", roof.exp_per_s / 1e9)});
  }
  out << "\nCompute (float32)\n" << compute.text(2);
  TextTable bandwidth({{"level"},
                       {"capacity", Align::right},
                       {"threads", Align::right},
                       {"read GB/s", Align::right},
                       {"copy GB/s", Align::right}});
  for (const ManifestBandwidth& roof : manifest.bandwidth) {
    bandwidth.add(
        {roof.level,
         roof.capacity_bytes > 0 ? bytes_text(static_cast<double>(roof.capacity_bytes)) : "-",
         std::to_string(roof.threads), fmt::format("{:.1f}", roof.read_gbs),
         fmt::format("{:.1f}", roof.copy_gbs)});
  }
  out << "\nBandwidth\n" << bandwidth.text(2);
}

void print_noise(std::ostream& out, const Manifest& manifest) {
  const auto figure = [&](const char* name) { return manifest.noise.at(name); };
  out << "\nNoise\n";
  out << fmt::format("  the same kernel twice (A/A): medians differ by {:+.2f}%, spread {:.2f}%\n",
                     100 * figure("aa_difference"), 100 * figure("aa_spread"));
  out << fmt::format("  load {:.2f}, stolen {:.1f}%, used by others {:.1f}%\n", figure("load_1min"),
                     100 * figure("steal_fraction"), 100 * figure("other_cpu_fraction"));
}

/// The parts of a manifest that describe a machine, not a run.
std::string machine_json(const Manifest& manifest) {
  const auto all = nlohmann::ordered_json::parse(manifest_to_json(manifest));
  nlohmann::ordered_json json;
  for (const char* key :
       {"tool", "libraries", "machine", "ceilings", "noise", "warnings", "fingerprint"}) {
    if (all.contains(key)) json[key] = all[key];
  }
  return json.dump(2);
}

class MachineCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    flags_.declare(app, "Measurement", {"threads", "isa"});
    add_text(app, "--time", time_, "TIME", "Time to spend on the ceilings. Default: 3s.",
             "Measurement");
    app.add_flag("--json", json_, "Print JSON.")->group("Output");
    app.footer(
        "Ceilings are the best of several short bursts: fused multiply-adds, exponentials, and\n"
        "bandwidth from each cache level and memory. The noise is how far two interleaved series "
        "of\n"
        "timings of one kernel are apart: differences below it mean nothing on this machine now.\n"
        "\n"
        "Examples:\n"
        "  attnbench machine\n"
        "  attnbench machine --threads 1,2,4 --time 10s\n"
        "  attnbench machine --json > machine.json");
  }

  ExitCode execute(const Context& context) override {
    const std::string help = "'attnbench machine --help' shows what is accepted";
    const auto config = load_sweep_config(std::nullopt, flags_.texts(), {}, context.registry,
                                          kernels::available_cpus());
    if (!config) return fail(context, config.error(), help);
    const auto seconds = parse_duration(time_, "--time");
    if (!seconds) return fail(context, seconds.error(), help);
    if (const Status status = kernels::select_isa(config->isa); !status) {
      return fail(context, status.error(), help);
    }
    const measure::Machine machine = measure::read_machine();
    const measure::NoiseSnapshot begin = measure::noise_snapshot();
    const std::vector<int> threads(config->threads.begin(), config->threads.end());
    const Ceilings ceilings = measure_ceilings(threads, data_caches(machine), *seconds);
    const auto aa = measure_aa_noise(context.registry);
    if (!aa) return fail(context, aa.error());
    const measure::NoiseFigures noise =
        measure::noise_between(begin, measure::noise_snapshot(), machine.cores);

    Manifest manifest = manifest_facts(context, machine, ceilings);
    manifest.noise = noise_map(noise);
    manifest.noise["aa_difference"] = aa->difference;
    manifest.noise["aa_spread"] = aa->spread;
    manifest.warnings = measure::doubtful_circumstances(machine, noise);
    if (json_) {
      context.out << machine_json(manifest) << '\n';
      return ExitCode::good;
    }
    print_facts(context.out, manifest);
    print_ceilings(context.out, manifest);
    print_noise(context.out, manifest);
    for (const std::string& warning : manifest.warnings) warn(context, warning);
    return ExitCode::good;
  }

 private:
  ConfigFlags flags_;
  std::string time_ = "3s";
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_machine_command() { return std::make_unique<MachineCommand>(); }

}  // namespace attnbench::cli
