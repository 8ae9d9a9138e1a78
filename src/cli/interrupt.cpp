#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <array>

#include "cli/command.h"

namespace attnbench::cli {
namespace {

std::atomic<bool> interrupted_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch it");

extern "C" void on_signal(int) {
  if (interrupted_flag.exchange(true)) ::_exit(static_cast<int>(ExitCode::interrupted));
}

}  // namespace

struct InterruptGuard::Saved {
  struct sigaction on_int;
  struct sigaction on_term;
  stack_t stack;
  // A frame holds the vector registers too: some 12 KB with AVX-512 and tiles.
  std::array<char, 65536> memory;
};

InterruptGuard::InterruptGuard() : saved_(std::make_unique<Saved>()) {
  interrupted_flag = false;
  stack_t stack = {};
  stack.ss_sp = saved_->memory.data();
  stack.ss_size = saved_->memory.size();
  ::sigaltstack(&stack, &saved_->stack);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  // A write that is under way is finished. The handler stays off the stack it interrupts: oneDNN's
  // generated code keeps data further below the stack pointer than the 128 bytes that it may.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigaction(SIGINT, &action, &saved_->on_int);
  ::sigaction(SIGTERM, &action, &saved_->on_term);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &saved_->on_int, nullptr);
  ::sigaction(SIGTERM, &saved_->on_term, nullptr);
  ::sigaltstack(&saved_->stack, nullptr);
}

const std::atomic<bool>* InterruptGuard::flag() const { return &interrupted_flag; }

void InterruptGuard::stop() { interrupted_flag = true; }

}  // namespace attnbench::cli
