// How many instructions a piece of work takes: a figure without noise, unlike its time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace attnbench::measure {

/// Counts the user-space instructions of this process, in one of two ways: the CPU's own counter,
/// through perf events; or valgrind's callgrind, which must have started this process with
/// --instr-atstart=no and --callgrind-out-file. Under valgrind the CPU has no AVX-512.
class InstructionCounter {
 public:
  /// `callgrind_file` is what --callgrind-out-file says; empty for perf events.
  explicit InstructionCounter(std::string callgrind_file = {});

  /// Instructions of `work`, with a constant share for starting and stopping the counter: the
  /// difference between two counts is exact under callgrind, and off by a few interrupts' worth
  /// under perf events. Nothing where they cannot be counted: refusal() says why.
  std::optional<std::int64_t> count(const std::function<void()>& work);
  const std::string& refusal() const { return refusal_; }
  /// "perf" or "callgrind".
  const char* source() const { return file_.empty() ? "perf" : "callgrind"; }

 private:
  std::optional<std::int64_t> count_by_perf(const std::function<void()>& work);
  std::optional<std::int64_t> count_by_callgrind(const std::function<void()>& work);

  std::string file_;
  int dumps_ = 0;  ///< So far: callgrind numbers its files.
  std::string refusal_;
};

/// The instructions in the text of a file that callgrind wrote; nothing when it is none.
std::optional<std::int64_t> callgrind_total(const std::string& text);

}  // namespace attnbench::measure
