// The measuring side of a gate: a process of one build that prepares cells and times samples on
// request. Requests and answers are JSON objects, one a line; every answer has "ok", or "error" (a
// kind) with a "message".
//
//   {"do": "hello", "protocol": 1}                      protocol, instruction set, timer resolution
//   {"do": "plan", "config": TOML, "name": FILE}        the cells of a configuration: flags, record
//   {"do": "prepare", "id": "a", "flags": [[name, value], ...], "rows": 64}
//                          seconds of a warm call; verified on so many rows first, 0: not at all
//   {"do": "time", "id": "a", "iterations": 10, "extra_units": 0}
//                          one warm call, then a sample; seconds per call, wall and CPU
//   {"do": "calibrate", "id": "a"}                      seconds of a call and of a unit of extra
//   work
//   {"do": "count", "id": "a", "callgrind": FILE}
//                          instructions of a call, the source of the count, the instruction set;
//                          with "callgrind" the child runs under it and FILE is its output file
//   {"do": "workspace", "id": "a"}
//                          bytes of workspace that a call takes
//   {"do": "drop", "id": "a"}
#pragma once

#include <memory>
#include <string>

#include "attention/registry.h"

namespace attnbench::run {

/// Two builds can be compared when their numbers are the same.
inline constexpr int kGateProtocol = 1;

class GateChild {
 public:
  explicit GateChild(const Registry& registry);
  ~GateChild();
  /// Never throws; the answer has no line break.
  std::string answer(const std::string& request);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attnbench::run
