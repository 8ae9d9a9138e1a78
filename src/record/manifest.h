// manifest.json of a run: environment, configuration, ceilings, noise. Plain data; the runner and
// cli/ fill it in, writers and readers know its JSON form.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace attnbench {

struct ManifestCache {
  int level = 0;
  std::string type;
  std::int64_t bytes = 0;
  int shared_by = 1;
};

struct ManifestMachine {
  std::string cpu_model, vendor;
  std::optional<int> family, model, stepping;
  std::string microcode;
  int cores = 1;
  bool smt = false;
  int numa_nodes = 1;
  std::vector<ManifestCache> caches;
  std::int64_t memory_bytes = 0;
  std::string governor, turbo, kernel;
  std::optional<bool> virtualised;
};

struct ManifestBandwidth {
  std::string level;
  std::int64_t capacity_bytes = 0;
  int threads = 1;
  double read_gbs = 0, copy_gbs = 0;
};

struct ManifestCompute {
  int threads = 1;
  double fma_gflops = 0;
  double exp_per_s = 0;
};

struct Manifest {
  std::string run_id;
  std::string started_at, finished_at;  ///< ISO 8601, UTC; finished_at empty while running.
  bool complete = false;
  std::string command;      ///< The command line, shell-quoted.
  std::string config_toml;  ///< The sweep, as TOML that reruns it.
  std::uint64_t seed = 1;
  struct Tool {
    std::string version, git, compiler, flags;
  } tool;
  std::map<std::string, std::string> libraries;  ///< Name -> version.
  ManifestMachine machine;
  std::string isa;
  std::vector<ManifestCompute> compute;
  std::vector<ManifestBandwidth> bandwidth;
  std::map<std::string, double> noise;
  std::map<std::string, double> timing;  ///< Of the sweep: wall_s, timed_s and other phases.
  std::vector<std::string> warnings;

  /// Hash of machine (without memory), tool.compiler, tool.flags, libraries and isa: two runs with
  /// the same fingerprint may be compared.
  std::string fingerprint() const;
};

/// What differs between two fingerprints, one "cpu_model: A | B" each; none where they are equal.
std::vector<std::string> fingerprint_differences(const Manifest& a, const Manifest& b);

}  // namespace attnbench
