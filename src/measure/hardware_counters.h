// Hardware event counters of the whole process, where the system lets it have them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace attnbench::measure {

/// A kind of event as perf_event_open(2) names it.
struct CounterEvent {
  std::uint32_t type = 0;
  std::uint64_t config = 0;
};

/// CPU cycles, instructions and cache misses, in this order; user space only.
std::vector<CounterEvent> hardware_events();

/// Counts events in all threads of this process, those that libraries made included. What the
/// machine or the system does not allow is absent, never zero.
class ProcessCounters {
 public:
  explicit ProcessCounters(std::vector<CounterEvent> events = hardware_events());
  ~ProcessCounters();
  ProcessCounters(const ProcessCounters&) = delete;
  ProcessCounters& operator=(const ProcessCounters&) = delete;

  /// Whether any event can be counted at all. When not, read() costs nothing.
  bool available() const { return available_; }
  /// Why an event cannot be counted, one line; empty when all can.
  const std::string& refusal() const { return refusal_; }
  /// Events so far, in the order given to the constructor, scaled up where the counters were shared
  /// in time. A thread counts from the first read() that sees it: read once before the work that is
  /// to be counted, and take the difference.
  std::vector<std::optional<std::int64_t>> read();

 private:
  void follow_threads();

  std::vector<CounterEvent> events_;
  std::vector<bool> usable_;
  bool available_ = false;
  std::string refusal_;
  std::map<int, std::vector<int>> descriptors_;  ///< Thread id -> one per event; -1 where refused.
  std::vector<std::int64_t> ended_;              ///< Counted by threads that are gone.
};

}  // namespace attnbench::measure
