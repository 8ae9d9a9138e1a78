#include <fmt/format.h>

#include <algorithm>

#include "measure/environment.h"

namespace attnbench::measure {

NoiseFigures noise_between(const NoiseSnapshot& before, const NoiseSnapshot& after, int cpus) {
  NoiseFigures figures;
  figures.wall_s = std::max(0.0, after.wall_s - before.wall_s);
  figures.load_1min = before.load_1min;
  if (figures.wall_s <= 0) return figures;
  const double capacity_s = figures.wall_s * std::max(cpus, 1);
  const double others_s = (after.busy_s - before.busy_s) - (after.own_cpu_s - before.own_cpu_s);
  figures.steal_fraction = std::clamp((after.steal_s - before.steal_s) / capacity_s, 0.0, 1.0);
  figures.other_cpu_fraction = std::clamp(others_s / capacity_s, 0.0, 1.0);
  figures.involuntary_switches_per_s =
      static_cast<double>(after.involuntary_switches - before.involuntary_switches) /
      figures.wall_s;
  return figures;
}

std::vector<std::string> doubtful_circumstances(const Machine& machine, const NoiseFigures& noise) {
  std::vector<std::string> lines;
  if (!machine.governor.empty() && machine.governor != "performance") {
    lines.push_back(fmt::format(
        "the CPU frequency governor is '{}', not 'performance': the clock may follow the load",
        machine.governor));
  }
  if (machine.turbo == "on") {
    lines.push_back("turbo is on: the clock depends on temperature and on what other cores do");
  }
  if (machine.smt) {
    lines.push_back(
        "hardware threads share cores (SMT): as many threads as logical CPUs compete for them");
  }
  if (machine.virtualised.value_or(false)) {
    lines.push_back("this is a virtual machine: others may use the same cores unseen");
  }
  if (noise.load_1min > 0.5 * machine.cores) {
    lines.push_back(fmt::format("the load average was {:.1f} on {} CPUs at the start",
                                noise.load_1min, machine.cores));
  }
  if (noise.steal_fraction > 0.01) {
    lines.push_back(
        fmt::format("the hypervisor took {:.1f}% of the CPU time", 100 * noise.steal_fraction));
  }
  if (noise.other_cpu_fraction > 0.05) {
    lines.push_back(fmt::format("other processes used {:.0f}% of the CPU time",
                                100 * noise.other_cpu_fraction));
  }
  if (noise.involuntary_switches_per_s > 100) {
    lines.push_back(fmt::format("{:.0f} involuntary context switches a second",
                                noise.involuntary_switches_per_s));
  }
  return lines;
}

}  // namespace attnbench::measure
