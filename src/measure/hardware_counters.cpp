#include "measure/hardware_counters.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "measure/system_files.h"

namespace attnbench::measure {
namespace {

int open_counter(const CounterEvent& event, int thread) {
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = event.type;
  attributes.config = event.config;
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(
      syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

/// The count, scaled by the part of the time for which the counter was really on.
std::int64_t read_counter(int descriptor) {
  struct {
    std::uint64_t value, enabled, running;
  } now{};
  if (descriptor < 0 || ::read(descriptor, &now, sizeof(now)) != sizeof(now)) return 0;
  if (now.running == 0) return 0;
  const double on = static_cast<double>(now.running) / static_cast<double>(now.enabled);
  return static_cast<std::int64_t>(static_cast<double>(now.value) / on);
}

std::set<int> own_threads() {
  std::set<int> threads;
  for (const std::string& name : directory_entries("/proc/self/task")) {
    if (const auto id = parse_integer(name)) threads.insert(static_cast<int>(*id));
  }
  return threads;
}

/// What a failed perf_event_open(2) means to whoever may change it.
std::string explain(int code) {
  std::string text = std::string("perf_event_open: ") + std::strerror(code);
  if (code == ENOENT || code == EOPNOTSUPP || code == ENODEV) {
    return text + " (this machine, or its hypervisor, offers no such counter)";
  }
  if (const auto level = read_integer("/proc/sys/kernel/perf_event_paranoid")) {
    text += " (kernel.perf_event_paranoid is " + std::to_string(*level) +
            "; up to 2 lets a process count its own user-space events, unless a container forbids "
            "the call)";
  }
  return text;
}

}  // namespace

std::vector<CounterEvent> hardware_events() {
  return {{PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
          {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
          {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES}};
}

ProcessCounters::ProcessCounters(std::vector<CounterEvent> events)
    : events_(std::move(events)), usable_(events_.size(), false), ended_(events_.size(), 0) {
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const int probe = open_counter(events_[i], 0);
    usable_[i] = probe >= 0;
    if (probe < 0 && refusal_.empty()) refusal_ = explain(errno);
    if (probe >= 0) close(probe);
  }
  available_ = std::ranges::find(usable_, true) != usable_.end();
}

ProcessCounters::~ProcessCounters() {
  for (const auto& [thread, descriptors] : descriptors_) {
    for (int descriptor : descriptors) {
      if (descriptor >= 0) close(descriptor);
    }
  }
}

void ProcessCounters::follow_threads() {
  const std::set<int> alive = own_threads();
  for (auto it = descriptors_.begin(); it != descriptors_.end();) {
    if (alive.contains(it->first)) {
      ++it;
      continue;
    }
    for (std::size_t i = 0; i < events_.size(); ++i) {
      ended_[i] += read_counter(it->second[i]);
      if (it->second[i] >= 0) close(it->second[i]);
    }
    it = descriptors_.erase(it);
  }
  for (int thread : alive) {
    if (descriptors_.contains(thread)) continue;
    std::vector<int> opened;
    for (std::size_t i = 0; i < events_.size(); ++i) {
      opened.push_back(usable_[i] ? open_counter(events_[i], thread) : -1);
    }
    descriptors_[thread] = std::move(opened);
  }
}

std::vector<std::optional<std::int64_t>> ProcessCounters::read() {
  std::vector<std::optional<std::int64_t>> totals(events_.size());
  if (!available_) return totals;
  follow_threads();
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (!usable_[i]) continue;
    std::int64_t total = ended_[i];
    for (const auto& [thread, descriptors] : descriptors_) total += read_counter(descriptors[i]);
    totals[i] = total;
  }
  return totals;
}

}  // namespace attnbench::measure
