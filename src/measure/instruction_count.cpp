#include "measure/instruction_count.h"

#include <linux/perf_event.h>

#include <array>
#include <utility>

#include "measure/hardware_counters.h"
#include "measure/system_files.h"

namespace attnbench::measure {
namespace {

/// Client requests of valgrind.h and callgrind.h.
enum class Request : std::uint64_t {
  running_on_valgrind = 0x1001,
  dump_stats = (std::uint64_t{'C'} << 24) | (std::uint64_t{'T'} << 16),
  zero_stats,
  toggle_collect,
  dump_stats_at,
  start_instrumentation,
  stop_instrumentation,
};

/// Asks the valgrind that runs this process; 0 without one. The instructions rotate a register by
/// 128 bits in all, which does nothing, and valgrind alone sees a request in them (its manual, "The
/// Client Request mechanism"). They are spelled out here because its headers come with its package,
/// and this build must not depend on whether that was installed.
std::uint64_t ask_valgrind(Request request) {
  std::uint64_t answer = 0;
#if defined(__x86_64__)
  volatile std::array<std::uint64_t, 6> words{static_cast<std::uint64_t>(request), 0, 0, 0, 0, 0};
  __asm__ volatile(
      "rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
      : "=d"(answer)
      : "a"(&words), "0"(answer)
      : "cc", "memory");
#else
  static_cast<void>(request);
#endif
  return answer;
}

}  // namespace

std::optional<std::int64_t> callgrind_total(const std::string& text) {
  // "totals: N", one number: instructions are the only event that is asked for.
  const auto total = field_of(text, "totals");
  return total ? parse_integer(*total) : std::nullopt;
}

InstructionCounter::InstructionCounter(std::string callgrind_file)
    : file_(std::move(callgrind_file)) {
  if (!file_.empty() && ask_valgrind(Request::running_on_valgrind) == 0) {
    refusal_ = "this process does not run under valgrind";
  }
}

std::optional<std::int64_t> InstructionCounter::count(const std::function<void()>& work) {
  if (!refusal_.empty()) return std::nullopt;
  return file_.empty() ? count_by_perf(work) : count_by_callgrind(work);
}

std::optional<std::int64_t> InstructionCounter::count_by_perf(const std::function<void()>& work) {
  ProcessCounters counters({{PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS}});
  const auto before = counters.read();
  work();
  const auto after = counters.read();
  if (!counters.available() || !before.front() || !after.front()) {
    refusal_ = counters.refusal().empty() ? "perf events gave no count" : counters.refusal();
    return std::nullopt;
  }
  const std::int64_t counted = *after.front() - *before.front();
  // Hypervisors exist that offer the counter and never move it.
  if (counted > 0) return counted;
  refusal_ = "the counter of instructions stands still";
  return std::nullopt;
}

std::optional<std::int64_t> InstructionCounter::count_by_callgrind(
    const std::function<void()>& work) {
  ask_valgrind(Request::start_instrumentation);
  ask_valgrind(Request::zero_stats);
  work();
  ask_valgrind(Request::dump_stats);
  ask_valgrind(Request::stop_instrumentation);
  const std::string name = file_ + "." + std::to_string(++dumps_);
  const auto text = read_text(name);
  const auto total = text ? callgrind_total(*text) : std::nullopt;
  if (!total) refusal_ = "callgrind left no count in " + name;
  return total;
}

}  // namespace attnbench::measure
