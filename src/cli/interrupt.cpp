#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

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
};

InterruptGuard::InterruptGuard() : saved_(std::make_unique<Saved>()) {
  interrupted_flag = false;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // A write that is under way is finished.
  ::sigaction(SIGINT, &action, &saved_->on_int);
  ::sigaction(SIGTERM, &action, &saved_->on_term);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &saved_->on_int, nullptr);
  ::sigaction(SIGTERM, &saved_->on_term, nullptr);
}

const std::atomic<bool>* InterruptGuard::flag() const { return &interrupted_flag; }

void InterruptGuard::stop() { interrupted_flag = true; }

}  // namespace attnbench::cli
