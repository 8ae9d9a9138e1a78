#include "kernels/arena.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <optional>
#include <vector>

#ifdef ATTNBENCH_HAVE_OPENMP
#include <omp.h>
#endif
#ifdef ATTNBENCH_ARENA_THREADS
#include <condition_variable>
#include <mutex>
#include <thread>
#else
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>
#endif

namespace attnbench::kernels {
namespace {

std::vector<int> affinity_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

/// Libraries called inside our threads must not make threads of their own.
void hold_openmp_at_one() {
#ifdef ATTNBENCH_HAVE_OPENMP
  omp_set_num_threads(1);
#endif
}

/// Leaves SIGINT and SIGTERM to the thread that asked to be told. oneDNN's generated code keeps
/// data below the stack pointer, where a handler's frame would go; only that thread has another
/// stack for handlers.
void leave_signals_to_others() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

/// What every thread of the arena does: takes the next index until none is left.
struct Loop {
  std::atomic<std::int64_t> next{0};
  std::int64_t count = 0;
  const std::function<void(std::int64_t, int)>* body = nullptr;

  void work(int slot) {
    for (std::int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      (*body)(i, slot);
    }
  }
};

/// The mask before the first arena pinned anything.
const std::vector<int>& process_cpus() {
  static const std::vector<int> cpus = affinity_cpus();
  return cpus;
}

}  // namespace

int available_cpus() { return static_cast<int>(process_cpus().size()); }

#ifdef ATTNBENCH_ARENA_THREADS

struct ThreadArena::Impl {
  Impl(int threads, bool) {
    for (int slot = 1; slot < threads; ++slot) {
      workers.emplace_back([this, slot] { serve(slot); });
    }
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
  }
  void serve(int slot) {
    hold_openmp_at_one();
    leave_signals_to_others();
    std::int64_t seen = 0;
    while (true) {
      std::shared_ptr<Loop> mine;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) return;
        seen = generation;
        mine = loop;
      }
      mine->work(slot);
      {
        const std::lock_guard lock(mutex);
        if (--busy == 0) done.notify_one();
      }
    }
  }
  void run(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
    auto current = std::make_shared<Loop>();
    current->count = count;
    current->body = &body;
    {
      const std::lock_guard lock(mutex);
      loop = current;
      busy = workers.size();
      ++generation;
    }
    wake.notify_all();
    current->work(0);
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return busy == 0; });
  }

  std::mutex mutex;
  std::condition_variable wake, done;
  std::shared_ptr<Loop> loop;
  std::size_t busy = 0;
  std::int64_t generation = 0;
  bool stopping = false;
  std::vector<std::thread> workers;
};

#else

namespace {

/// Pins the calling thread; best effort, a refusal changes nothing.
void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

void pin_to_all(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/// Pins a worker when it joins the arena. Neither it nor the caller is let go when a loop ends:
/// asking for another mask at both ends of every loop takes 6 to 25 us, and a step of decoding
/// takes 100. Workers, which do nothing else, keep their CPU until an arena wants them elsewhere.
class WorkerPinning final : public tbb::task_scheduler_observer {
 public:
  WorkerPinning(tbb::task_arena& arena, bool pin) : tbb::task_scheduler_observer(arena), pin_(pin) {
    observe(true);
  }
  ~WorkerPinning() override { observe(false); }
  void on_scheduler_entry(bool worker) override {
    hold_openmp_at_one();
    if (!worker) return;
    leave_signals_to_others();
    thread_local int pinned_to = kAnyCpu;
    const int slot = tbb::this_task_arena::current_thread_index();
    const int wanted = pin_ ? process_cpus().at(static_cast<std::size_t>(slot)) : kAnyCpu;
    if (wanted == pinned_to) return;
    pinned_to = wanted;
    if (wanted == kAnyCpu) {
      pin_to_all(process_cpus());
    } else {
      pin_to(wanted);
    }
  }

 private:
  static constexpr int kAnyCpu = -1;
  bool pin_;
};

/// Holds the calling thread on one CPU while it lives, and gives it its mask back at the end.
class CallerPinning {
 public:
  explicit CallerPinning(int cpu) {
    held_ = pthread_getaffinity_np(pthread_self(), sizeof(before_), &before_) == 0;
    pin_to(cpu);
  }
  ~CallerPinning() {
    if (held_) pthread_setaffinity_np(caller_, sizeof(before_), &before_);
  }
  CallerPinning(const CallerPinning&) = delete;
  CallerPinning& operator=(const CallerPinning&) = delete;

 private:
  const pthread_t caller_ = pthread_self();
  cpu_set_t before_;
  bool held_;
};

}  // namespace

struct ThreadArena::Impl {
  Impl(int threads, bool pin)
      : control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)),
        arena(threads, 1),
        threads_in_arena(threads) {
    arena.initialize();
    const bool pinned = pin && threads <= available_cpus();
    worker_pinning.emplace(arena, pinned);
    // Workers take the other slots, and with them the other CPUs.
    if (pinned && threads > 1) caller_pinning.emplace(process_cpus().front());
  }
  void run(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
    Loop loop;
    loop.count = count;
    loop.body = &body;
    arena.execute([&] {
      tbb::parallel_for(
          0, threads_in_arena, [&](int slot) { loop.work(slot); }, tbb::simple_partitioner());
    });
  }

  tbb::global_control control;
  tbb::task_arena arena;
  int threads_in_arena;
  std::optional<WorkerPinning> worker_pinning;
  std::optional<CallerPinning> caller_pinning;
};

#endif

ThreadArena::ThreadArena(int threads, bool pin)
    : threads_(threads), impl_(std::make_unique<Impl>(threads, pin)) {
  hold_openmp_at_one();
}

ThreadArena::~ThreadArena() = default;

void ThreadArena::parallel_for(std::int64_t count,
                               const std::function<void(std::int64_t, int)>& body) {
  if (count <= 0) return;
  if (threads_ == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  impl_->run(count, body);
}

}  // namespace attnbench::kernels
