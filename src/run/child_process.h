// A child that answers one JSON line per JSON line (run/gate_child.h).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "attention/result.h"
#include "record/json_text.h"

namespace attnbench::run {

struct ChildOptions {
  std::string name;                      ///< In messages: "base (build/old/attnbench)".
  std::vector<std::string> command;      ///< Program (a path) and arguments.
  std::vector<std::string> environment;  ///< All of it: "NAME=value".
  std::vector<int> cpus;                 ///< The child may only run on these; empty: anywhere.
  /// Set by a signal handler, for example; ends a wait.
  const std::atomic<bool>* interrupted = nullptr;
};

/// Why there is no answer. The message names the child.
struct ChildFailure {
  enum class Kind {
    refused,      ///< It answered that it cannot; it lives on.
    died,         ///< It ended.
    hung,         ///< It did not answer in time, and was ended.
    garbled,      ///< What it said is no answer.
    interrupted,  ///< This process is asked to stop.
  };
  Kind kind = Kind::died;
  std::string message;
  std::string refusal;  ///< Of a refusal: unsupported, usage, out-of-memory or failed.
};

/// The answer's object, or why there is none.
using Answer = std::variant<OrderedJson, ChildFailure>;

/// The number at `key`; 0 when there is none. An answer is foreign text: nothing in it can be
/// relied on.
double number_in(const OrderedJson& answer, const std::string& key);

/// A running child; ends with the object. A child whose parent is gone ends at the end of its
/// input.
class ChildProcess {
 public:
  /// An error when it cannot be started.
  static Result<std::unique_ptr<ChildProcess>> start(const ChildOptions& options);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Sends a request and waits for its answer. After a failure other than `refused` every further
  /// question fails the same way.
  Answer ask(const OrderedJson& request, double timeout_s);
  const std::string& name() const { return name_; }

 private:
  ChildProcess() = default;
  bool send(const std::string& line);
  /// Reads into buffer_ until it has a line; the failure that came first.
  std::variant<std::string, ChildFailure> read_line(double timeout_s);
  ChildFailure fail(ChildFailure::Kind kind, const std::string& what);
  std::string last_words() const;
  void close_pipes();
  /// Waits for its end at most so long; whether it ended.
  bool reap(double timeout_s);

  std::string name_;
  const std::atomic<bool>* interrupted_ = nullptr;
  int pid_ = -1, to_child_ = -1, from_child_ = -1, errors_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string buffer_;
  std::variant<std::monostate, ChildFailure> broken_;
};

/// The last `count` CPUs of this process's affinity mask (the first ones serve interrupts); empty
/// where there are fewer, or no masks.
std::vector<int> last_cpus(int count);

}  // namespace attnbench::run
