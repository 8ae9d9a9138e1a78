// What machine this is and how quiet it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attnbench::measure {

struct CacheInfo {
  int level = 0;
  std::string type;  ///< data, unified
  std::int64_t bytes = 0;
  int shared_by = 1;  ///< Logical CPUs that share one instance.
};

/// Absent figures are empty strings or nullopt, never made up.
struct Machine {
  std::string cpu_model, vendor;
  std::optional<int> family, model, stepping;
  std::string microcode;
  int cores = 1;  ///< Logical CPUs this process may run on (affinity mask).
  bool smt = false;
  int numa_nodes = 1;
  std::vector<CacheInfo> caches;  ///< Data and unified, by level.
  std::int64_t memory_bytes = 0;
  std::string governor;
  std::string turbo;  ///< "on", "off" or empty when unknown.
  std::string kernel;
  std::optional<bool> virtualised;
};
/// `root` is put before /proc and /sys: a test's made-up machine. Empty: this machine.
Machine read_machine(const std::string& root = "");

/// Bytes that could be allocated now without swapping: the kernel's estimate, and no more than any
/// cgroup (v1 or v2) above this process has left. 0 when nothing is known.
std::int64_t available_memory_bytes(const std::string& root = "");

/// Counters that tell whether something else ran: take one before and one after.
struct NoiseSnapshot {
  double wall_s = 0;
  double load_1min = 0;
  double steal_s = 0;                     ///< Of all CPUs.
  double busy_s = 0;                      ///< User + system of all CPUs.
  std::int64_t involuntary_switches = 0;  ///< Of this process's threads, ended ones included.
  double own_cpu_s = 0;
};
NoiseSnapshot noise_snapshot(const std::string& root = "");

/// Figures for the manifest's `noise`, between two snapshots.
struct NoiseFigures {
  double wall_s = 0;
  double load_1min = 0;           ///< At the first snapshot: before this process made load itself.
  double steal_fraction = 0;      ///< Of the CPU time of this machine.
  double other_cpu_fraction = 0;  ///< CPU time used by others, of all CPUs' wall time.
  double involuntary_switches_per_s = 0;
};
/// `cpus`: logical CPUs of the machine.
NoiseFigures noise_between(const NoiseSnapshot& before, const NoiseSnapshot& after, int cpus);

/// One line for each circumstance that makes timings doubtful.
std::vector<std::string> doubtful_circumstances(const Machine& machine, const NoiseFigures& noise);

}  // namespace attnbench::measure
