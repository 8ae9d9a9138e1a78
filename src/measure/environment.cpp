#include "measure/environment.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "measure/clock.h"
#include "measure/system_files.h"

namespace attnbench::measure {
namespace {

std::optional<int> integer_field(const std::string& text, std::string_view key) {
  const auto field = field_of(text, key);
  const auto value = field ? parse_integer(*field) : std::nullopt;
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

int affinity_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// "32768K" in bytes.
std::int64_t parse_cache_size(const std::string& text) {
  const std::int64_t value = parse_integer(text).value_or(0);
  if (text.find('M') != std::string::npos) return value << 20;
  if (text.find('K') != std::string::npos) return value << 10;
  return value;
}

std::vector<CacheInfo> read_caches(const std::string& cpu0) {
  std::vector<CacheInfo> caches;
  for (const std::string& entry : directory_entries(cpu0 + "/cache")) {
    if (!entry.starts_with("index")) continue;
    const std::string directory = cpu0 + "/cache/" + entry;
    CacheInfo cache;
    cache.type = read_text(directory + "/type").value_or("");
    if (cache.type != "Data" && cache.type != "Unified") continue;
    cache.type = cache.type == "Data" ? "data" : "unified";
    cache.level = static_cast<int>(read_integer(directory + "/level").value_or(0));
    cache.bytes = parse_cache_size(read_text(directory + "/size").value_or(""));
    cache.shared_by =
        std::max(1, count_cpu_list(read_text(directory + "/shared_cpu_list").value_or("")));
    if (cache.level > 0 && cache.bytes > 0) caches.push_back(cache);
  }
  std::ranges::stable_sort(caches, {}, &CacheInfo::level);
  return caches;
}

std::string read_turbo(const std::string& cpu) {
  if (const auto off = read_integer(cpu + "/intel_pstate/no_turbo")) return *off ? "off" : "on";
  if (const auto on = read_integer(cpu + "/cpufreq/boost")) return *on ? "on" : "off";
  return "";
}

int count_numa_nodes(const std::string& root) {
  const auto online = read_text(root + "/sys/devices/system/node/online");
  return online ? std::max(1, count_cpu_list(*online)) : 1;
}

std::string kernel_text(const std::string& root) {
  if (!root.empty()) return read_text(root + "/proc/sys/kernel/osrelease").value_or("");
  utsname name{};
  return uname(&name) == 0 ? std::string(name.sysname) + " " + name.release : "";
}

/// The "hypervisor" CPU flag where there are flags (x86); elsewhere unknown.
std::optional<bool> read_virtualised(const std::string& cpuinfo) {
  const auto flags = field_of(cpuinfo, "flags");
  if (!flags) return std::nullopt;
  return fmt::format(" {} ", *flags).find(" hypervisor ") != std::string::npos;
}

double ticks_to_s(std::int64_t ticks) {
  const long per_s = sysconf(_SC_CLK_TCK);
  return static_cast<double>(ticks) / static_cast<double>(per_s > 0 ? per_s : 100);
}

}  // namespace

Machine read_machine(const std::string& root) {
  Machine machine;
  const std::string cpuinfo = read_text(root + "/proc/cpuinfo").value_or("");
  machine.cpu_model = field_of(cpuinfo, "model name").value_or("");
  machine.vendor = field_of(cpuinfo, "vendor_id").value_or("");
  machine.family = integer_field(cpuinfo, "cpu family");
  machine.model = integer_field(cpuinfo, "model");
  machine.stepping = integer_field(cpuinfo, "stepping");
  machine.microcode = field_of(cpuinfo, "microcode").value_or("");
  machine.cores = affinity_cpus();
  const std::string cpu = root + "/sys/devices/system/cpu";
  machine.smt =
      count_cpu_list(read_text(cpu + "/cpu0/topology/thread_siblings_list").value_or("")) > 1;
  machine.numa_nodes = count_numa_nodes(root);
  machine.caches = read_caches(cpu + "/cpu0");
  const std::string meminfo = read_text(root + "/proc/meminfo").value_or("");
  if (const auto total = field_of(meminfo, "MemTotal")) {
    machine.memory_bytes = parse_integer(*total).value_or(0) * 1024;
  }
  machine.governor = read_text(cpu + "/cpu0/cpufreq/scaling_governor").value_or("");
  machine.turbo = read_turbo(cpu);
  machine.kernel = kernel_text(root);
  machine.virtualised = read_virtualised(cpuinfo);
  return machine;
}

NoiseSnapshot noise_snapshot(const std::string& root) {
  NoiseSnapshot shot;
  shot.wall_s = steady_now_s();
  if (const auto load = read_text(root + "/proc/loadavg")) {
    shot.load_1min = std::strtod(load->c_str(), nullptr);
  }
  if (const auto total = field_of(read_text(root + "/proc/stat").value_or(""), "cpu")) {
    // user nice system idle iowait irq softirq steal guest guest_nice; guest is within user.
    std::vector<std::int64_t> ticks;
    const char* p = total->c_str();
    for (char* end = nullptr; *p != '\0'; p = end) {
      ticks.push_back(std::strtoll(p, &end, 10));
      if (end == p) break;
    }
    if (ticks.size() >= 8) {
      shot.busy_s = ticks_to_s(ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]);
      shot.steal_s = ticks_to_s(ticks[7]);
    }
  }
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) shot.involuntary_switches = usage.ru_nivcsw;
  shot.own_cpu_s = process_cpu_s();
  return shot;
}

}  // namespace attnbench::measure
