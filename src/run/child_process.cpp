#include "run/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "measure/clock.h"

namespace attnbench::run {
namespace {

using Kind = ChildFailure::Kind;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

void close_quietly(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

/// Restricts this thread while it lives: a process that is started meanwhile inherits the mask, so
/// that the child's libraries never see other CPUs.
class AffinityScope {
 public:
  explicit AffinityScope(const std::vector<int>& cpus) {
    if (cpus.empty() || ::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &wanted);
    changed_ = ::sched_setaffinity(0, sizeof wanted, &wanted) == 0;
  }
  ~AffinityScope() {
    if (changed_) ::sched_setaffinity(0, sizeof before_, &before_);
  }
  AffinityScope(const AffinityScope&) = delete;
  AffinityScope& operator=(const AffinityScope&) = delete;

 private:
  cpu_set_t before_{};
  bool changed_ = false;
};

std::string text_in(const OrderedJson& answer, const std::string& key, const char* otherwise) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

}  // namespace

double number_in(const OrderedJson& answer, const std::string& key) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::vector<int> last_cpus(int count) {
  cpu_set_t mask;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return {};
  std::vector<int> cpus;
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && static_cast<int>(cpus.size()) < count; --cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &mask)) cpus.push_back(cpu);
  }
  if (static_cast<int>(cpus.size()) < count) return {};
  std::ranges::reverse(cpus);
  return cpus;
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const ChildOptions& options) {
  std::unique_ptr<ChildProcess> child(new ChildProcess);
  child->name_ = options.name;
  child->interrupted_ = options.interrupted;
  // A socket, because writing to it can be told not to raise SIGPIPE.
  std::array<int, 2> input{-1, -1}, output{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input.data()) != 0 ||
      ::pipe2(output.data(), O_CLOEXEC) != 0) {
    for (int& end : input) close_quietly(end);
    return io_error(fmt::format("{}: no pipe ({})", options.name, std::strerror(errno)));
  }
  child->to_child_ = input[0];
  child->from_child_ = output[0];
  child->errors_ = ::memfd_create("child_errors", MFD_CLOEXEC);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  if (child->errors_ >= 0) {
    posix_spawn_file_actions_adddup2(&actions, child->errors_, STDERR_FILENO);
  }
  // A group of its own: Ctrl-C on the terminal is this process's to handle.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::vector<std::string> words = options.command, entries = options.environment;
  int code = 0;
  pid_t pid = -1;
  {
    const AffinityScope pinned(options.cpus);
    code = ::posix_spawn(&pid, words[0].c_str(), &actions, &attributes, pointers(words).data(),
                         pointers(entries).data());
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close_quietly(input[1]);
  close_quietly(output[1]);
  if (code != 0) {
    return io_error(fmt::format("{}: cannot be started ({})", options.name, std::strerror(code)));
  }
  child->pid_ = pid;
  return child;
}

ChildProcess::~ChildProcess() {
  close_pipes();
  // Nothing that a child does at its end is worth waiting for.
  if (pid_ > 0 && !ended_) {
    ::kill(pid_, SIGKILL);
    reap(10);
  }
  close_quietly(errors_);
}

void ChildProcess::close_pipes() {
  close_quietly(to_child_);
  close_quietly(from_child_);
}

bool ChildProcess::reap(double timeout_s) {
  const double deadline_s = measure::steady_now_s() + timeout_s;
  while (!ended_) {
    const pid_t found = ::waitpid(pid_, &status_, WNOHANG);
    if (found == pid_ || (found < 0 && errno == ECHILD)) {
      ended_ = true;
    } else if (measure::steady_now_s() >= deadline_s) {
      return false;
    } else {
      ::usleep(200);
    }
  }
  return true;
}

std::string ChildProcess::last_words() const {
  constexpr std::size_t kMost = 600;
  if (errors_ < 0) return "";
  const off_t size = ::lseek(errors_, 0, SEEK_END);
  std::string text(std::min<std::size_t>(kMost, size > 0 ? static_cast<std::size_t>(size) : 0), 0);
  const ssize_t got =
      ::pread(errors_, text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

ChildFailure ChildProcess::fail(Kind kind, const std::string& what) {
  std::string message = name_ + " " + what;
  if (kind != Kind::interrupted) {
    if (const std::string words = last_words(); !words.empty()) message += ": " + words;
  }
  ChildFailure failure{kind, std::move(message), ""};
  broken_ = failure;
  return failure;
}

bool ChildProcess::send(const std::string& line) {
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t count = ::send(to_child_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

std::variant<std::string, ChildFailure> ChildProcess::read_line(double timeout_s) {
  constexpr double kSlice_s = 0.1;  // How soon an interrupt is noticed.
  const double deadline_s = measure::steady_now_s() + timeout_s;
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (interrupted_ != nullptr && interrupted_->load()) {
      return fail(Kind::interrupted, "was interrupted");
    }
    const double left_s = deadline_s - measure::steady_now_s();
    if (left_s <= 0) {
      ::kill(pid_, SIGKILL);
      reap(10);
      return fail(Kind::hung, fmt::format("gave no answer within {:.3g} s", timeout_s));
    }
    pollfd ready{from_child_, POLLIN, 0};
    const int slice_ms = static_cast<int>(1e3 * std::min(left_s, kSlice_s)) + 1;
    if (::poll(&ready, 1, slice_ms) <= 0) continue;
    std::array<char, 65536> chunk{};
    const ssize_t count = ::read(from_child_, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count > 0) {
      buffer_.append(chunk.data(), static_cast<std::size_t>(count));
      continue;
    }
    reap(10);
    return fail(Kind::died, WIFSIGNALED(status_)
                                ? fmt::format("was ended by signal {} ({})", WTERMSIG(status_),
                                              strsignal(WTERMSIG(status_)))
                                : fmt::format("ended with exit code {}", WEXITSTATUS(status_)));
  }
}

Answer ChildProcess::ask(const OrderedJson& request, double timeout_s) {
  if (const auto* earlier = std::get_if<ChildFailure>(&broken_)) return *earlier;
  // A child that is gone is noticed when its answer is read.
  static_cast<void>(send(request.dump() + "\n"));
  auto line = read_line(timeout_s);
  if (auto* failure = std::get_if<ChildFailure>(&line)) return std::move(*failure);
  const auto answer = parse_json(std::get<std::string>(line), name_);
  if (!answer || !answer->is_object() || !answer->contains("ok")) {
    return fail(Kind::garbled, fmt::format("answered \"{}\", which is no answer of a gate's child",
                                           std::get<std::string>(line).substr(0, 80)));
  }
  if (answer->at("ok") == true) return *answer;
  return ChildFailure{Kind::refused, text_in(*answer, "message", "no reason given"),
                      text_in(*answer, "error", "failed")};
}

}  // namespace attnbench::run
