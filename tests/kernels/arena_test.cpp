#include "kernels/arena.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <set>
#include <thread>
#include <vector>

#include "kernels/isa.h"
#include "kernels/onednn_gemm.h"

namespace attnbench::kernels {
namespace {

TEST(ThreadArena, CallsEveryIndexOnceWithASlotOfItsOwn) {
  for (int threads : {1, 2, 4}) {
    ThreadArena arena(threads);
    EXPECT_EQ(arena.threads(), threads);
    for (std::int64_t count : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      std::vector<std::atomic<int>> in_slot(static_cast<std::size_t>(threads));
      arena.parallel_for(count, [&](std::int64_t index, int slot) {
        ASSERT_GE(slot, 0);
        ASSERT_LT(slot, threads);
        EXPECT_EQ(in_slot[static_cast<std::size_t>(slot)].fetch_add(1), 0) << "slot in use";
        calls[static_cast<std::size_t>(index)].fetch_add(1);
        in_slot[static_cast<std::size_t>(slot)].fetch_sub(1);
      });
      for (const auto& c : calls) EXPECT_EQ(c.load(), 1);
    }
  }
}

bool takes(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signal) == 0;
}

TEST(ThreadArena, LeavesInterruptsToTheCaller) {
  ThreadArena arena(3);
  const pthread_t caller = pthread_self();
  std::atomic<int> workers{0};
  for (int attempt = 0; attempt < 200 && workers == 0; ++attempt) {
    arena.parallel_for(300, [&](std::int64_t, int) {
      const bool worker = pthread_equal(pthread_self(), caller) == 0;
      if (worker) {
        workers.fetch_add(1);
      } else if (workers == 0) {
        // On a busy machine the caller would be done before a worker gets a processor.
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      EXPECT_EQ(takes(SIGINT), !worker);
      EXPECT_EQ(takes(SIGTERM), !worker);
    });
  }
  EXPECT_GT(workers.load(), 0) << "no worker ever took part";
}

#ifndef ATTNBENCH_ARENA_THREADS
std::vector<int> my_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

/// The CPUs that each of two slots may run on; both take part.
std::vector<std::vector<int>> cpus_by_slot(ThreadArena& arena) {
  std::vector<std::vector<int>> cpus(2);
  std::atomic<int> here{0};
  arena.parallel_for(2, [&](std::int64_t, int slot) {
    cpus[static_cast<std::size_t>(slot)] = my_cpus();
    // Nobody takes both indices: the first waits, for a minute at most.
    here.fetch_add(1);
    for (int i = 0; i < 60000 && here.load() < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  return cpus;
}

TEST(ThreadArena, HoldsThreadsOnCpusOfTheirOwnUntilItIsGone) {
  const std::vector<int> before = my_cpus();
  if (before.size() < 2) GTEST_SKIP() << "one CPU";
  {
    ThreadArena arena(2);
    for (int loop = 0; loop < 3; ++loop) {
      const auto cpus = cpus_by_slot(arena);
      EXPECT_EQ(cpus[0], std::vector<int>{before[0]});
      EXPECT_EQ(cpus[1], std::vector<int>{before[1]});
      EXPECT_EQ(my_cpus(), std::vector<int>{before[0]}) << "the caller, between two loops";
    }
  }
  EXPECT_EQ(my_cpus(), before);
  {
    // The worker of the arena before this one is let go.
    ThreadArena arena(2, false);
    const auto cpus = cpus_by_slot(arena);
    EXPECT_EQ(cpus[0], before);
    EXPECT_EQ(cpus[1], before);
  }
  ThreadArena alone(1);
  EXPECT_EQ(my_cpus(), before);
}
#endif

double process_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double thread_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// A library that made threads of its own inside a task would burn CPU time that no thread of the
/// arena accounts for. CPU time, not wall time: other processes do not matter.
TEST(ThreadArena, NothingElseBurnsACoreWhileLibrariesRunInside) {
  constexpr std::int64_t kSize = 384;
  const std::vector<float> a(kSize * kSize, 0.5F), b(kSize * kSize, 0.25F);
  for (int threads : {1, 2}) {
    ThreadArena arena(threads);
    std::vector<std::vector<float>> c(static_cast<std::size_t>(threads),
                                      std::vector<float>(kSize * kSize));
    const auto products = [&](std::int64_t count, std::atomic<double>* inside) {
      arena.parallel_for(count, [&](std::int64_t, int slot) {
        const double before = thread_cpu_s();
        onednn_gemm(kSize, kSize, kSize, 1, a.data(), kSize, b.data(), kSize, false,
                    c[static_cast<std::size_t>(slot)].data(), kSize);
        if (inside != nullptr) inside->fetch_add(thread_cpu_s() - before);
      });
    };
    products(4, nullptr);
    std::atomic<double> inside{0};
    const double before = process_cpu_s();
    products(60, &inside);
    const double all = process_cpu_s() - before;
    // What is not inside the products: hand-out and waiting of the arena's own threads.
    EXPECT_LE(all, 1.35 * inside.load() + 0.02) << threads << " threads";
    EXPECT_FLOAT_EQ(c[0][0], 0.125F * kSize);
  }
}

TEST(Isa, SelectsAndRefuses) {
  for (const std::string& isa : available_isas()) {
    if (isa != "avx2" && isa != "avx512") continue;
    ASSERT_TRUE(select_isa(isa));
    EXPECT_EQ(active_isa(), isa);
    EXPECT_EQ(vector_floats(), isa == "avx512" ? 16 : 8);
  }
  const auto refused = select_isa("avx1024");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Error::Kind::usage);
  EXPECT_NE(refused.error().message.find("auto, avx2, avx512"), std::string::npos);
  ASSERT_TRUE(select_isa("auto"));
  EXPECT_EQ(active_isa(), available_isas().front());
}

}  // namespace
}  // namespace attnbench::kernels
