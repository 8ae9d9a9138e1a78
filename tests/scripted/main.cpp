// attnbench with variants whose times are scripted, on a simulated clock: what the end-to-end tests
// of the gate take as builds. It is the whole command line, linked with three seams in place of the
// originals: the registry, clock_gettime() and the extra work of a gate.
//
// A build's script is the environment variable SCRIPT_<name of the file>, so that copies of the
// program called "base" and "head" differ; words separated by blanks:
//
//   steady=1.1     calls of `steady` take 10% longer (steady, short, wide)
//   gone=steady    `steady` is not in the registry
//   wrong=steady   its results are wrong
//   die=steady     its calls end the process with a signal, and
//   hang=steady    never return, both only while launches are measured
//   extra=0.3      extra work takes 30% of the time that it should, while launches are measured
//
// In a gate's child (`gate child`) the monotonic clock is simulated and moves only with calls and
// extra work; elsewhere it runs SCRIPT_CLOCK_RATE times as fast as time does, so that a test need
// not wait for a timeout.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "attention/hash.h"
#include "cli/app.h"
#include "cli/fake_variants.h"
#include "run/extra_work.h"

namespace {

using namespace attnbench;

std::atomic<bool> simulated{false};
std::atomic<std::int64_t> simulated_ns{1'000'000'000};
std::atomic<double> clock_rate{1};

void pass(double seconds) { simulated_ns += std::llround(1e9 * seconds); }

/// What this build is to do.
struct Script {
  std::map<std::string, std::string> words;
  bool launching = false;  ///< Launches have a padded environment, trials before them do not.

  double number(const std::string& name, double otherwise) const {
    const auto found = words.find(name);
    return found == words.end() ? otherwise : std::stod(found->second);
  }
  bool says(const std::string& what, const std::string& variant) const {
    const auto found = words.find(what);
    return found != words.end() && found->second == variant;
  }
};
Script script;
std::uint64_t process_seed = 1;

std::string environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

/// Between -1 and 1, the same for the same text: noise that every run of a test repeats.
double noise(const std::string& text) {
  return static_cast<double>(fnv1a64(text) >> 11) / static_cast<double>(1ULL << 52) - 1;
}

class ScriptedPlan final : public Plan {
 public:
  ScriptedPlan(std::string name, double call_s, std::unique_ptr<Plan> plan)
      : name_(std::move(name)), call_s_(call_s), plan_(std::move(plan)) {}

  void run(const Inputs& inputs, TensorView output, Workspace& workspace,
           Executor& executor) override {
    if (script.launching && script.says("die", name_)) std::raise(SIGKILL);
    if (script.launching && script.says("hang", name_)) ::pause();
    // Every timed sample would verify a result again; the first call is enough.
    if (calls_++ == 0) plan_->run(inputs, output, workspace, executor);
    const double layout = 0.003 * noise(name_ + std::to_string(process_seed));
    const double white = 0.002 * noise(name_ + std::to_string(process_seed + calls_));
    pass(call_s_ * script.number(name_, 1) * std::exp(layout + white));
  }

 private:
  std::string name_;
  double call_s_;
  std::unique_ptr<Plan> plan_;
  std::uint64_t calls_ = 0;
};

/// Softmax attention whose calls take `call_s` of simulated time.
class ScriptedVariant final : public SoftmaxVariant {
 public:
  ScriptedVariant(std::string name, double call_s, float gain)
      : inner_(name, gain), name_(std::move(name)), call_s_(call_s) {}
  const VariantInfo& info() const override { return inner_.info(); }
  std::optional<std::string> unsupported_reason(const Problem& problem,
                                                const ParamValues& params) const override {
    return inner_.unsupported_reason(problem, params);
  }
  Cost cost(const Problem& problem, const ParamValues& params, int threads) const override {
    return inner_.cost(problem, params, threads);
  }
  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet& aux) const override {
    auto plan = inner_.prepare(problem, params, aux);
    if (!plan) return plan.error();
    return std::unique_ptr<Plan>(std::make_unique<ScriptedPlan>(name_, call_s_, std::move(*plan)));
  }

 private:
  cli::FakeVariant inner_;
  std::string name_;
  double call_s_;
};

void read_script() {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").filename().string();
  std::istringstream words(environment("SCRIPT_" + self));
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    script.words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const std::string padding = environment("ATTNBENCH_PADDING");
  script.launching = !padding.empty();
  process_seed = fnv1a64(self + padding);
  if (const std::string rate = environment("SCRIPT_CLOCK_RATE"); !rate.empty()) {
    clock_rate = std::stod(rate);
  }
}

}  // namespace

/// In place of the C library's, which the standard library and Google Benchmark call.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long code = ::syscall(SYS_clock_gettime, clock, time);
  if (code != 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_RAW)) {
    return static_cast<int>(code);
  }
  constexpr std::int64_t kSecond_ns = 1'000'000'000;
  std::int64_t now_ns = 0;
  if (simulated) {
    now_ns = ++simulated_ns;  // A clock that stands still has no resolution.
  } else {
    const double real_ns =
        static_cast<double>(time->tv_sec) * 1e9 + static_cast<double>(time->tv_nsec);
    now_ns = std::llround(real_ns * clock_rate);
  }
  time->tv_sec = now_ns / kSecond_ns;
  time->tv_nsec = now_ns % kSecond_ns;
  return 0;
}

namespace attnbench::run {

/// In place of the one in src/run/.
double do_extra_work(std::int64_t units) {
  constexpr double kUnit_s = 1e-8;
  const double done = script.launching ? script.number("extra", 1) : 1;
  pass(static_cast<double>(units) * kUnit_s * done);
  return 0;
}

}  // namespace attnbench::run

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  simulated = arguments.size() == 3 && arguments[1] == "gate" && arguments[2] == "child";
  read_script();
  Registry registry;
  for (const auto& [name, call_s] :
       {std::pair{"steady", 1e-3}, std::pair{"short", 2e-4}, std::pair{"wide", 3e-3}}) {
    if (script.says("gone", name)) continue;
    const float gain = script.says("wrong", name) ? 1.5F : 1.0F;
    registry.add(std::make_unique<ScriptedVariant>(name, call_s, gain));
  }
  return static_cast<int>(cli::run_command_line({.out = std::cout,
                                                 .err = std::cerr,
                                                 .registry = registry,
                                                 .arguments = std::move(arguments)}));
}
