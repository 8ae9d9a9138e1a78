// Heads of a call among threads: each has heads of its own, and whoever is done helps with what is
// left of the others'. Internal to kernels/.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "attention/executor.h"

namespace attnbench::kernels {

/// The numbers from 0 to below a count (less than 2^32), each handed out once: from the front to
/// the thread that owns them, from the back to threads that help, so that each of them gets
/// neighbours one after the other.
class TwoEnded {
 public:
  static constexpr std::int64_t kNone = -1;
  /// A number, and the one that will probably follow from the same end, or kNone.
  struct Taken {
    std::int64_t number = kNone;
    std::int64_t next = kNone;
  };

  void reset(std::int64_t count) { left_.store(static_cast<std::uint64_t>(count) << 32U); }
  std::optional<Taken> take(bool front) {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    while (true) {
      const std::uint64_t begin = left & 0xffffffffU, end = left >> 32U;
      if (begin == end) return std::nullopt;
      const std::uint64_t rest = front ? left + 1 : left - (std::uint64_t{1} << 32U);
      if (!left_.compare_exchange_weak(left, rest, std::memory_order_relaxed)) continue;
      const auto first = static_cast<std::int64_t>(begin),
                 last = static_cast<std::int64_t>(end) - 1;
      if (first == last) return Taken{first, kNone};
      return front ? Taken{first, first + 1} : Taken{last, last - 1};
    }
  }

 private:
  std::atomic<std::uint64_t> left_{0};  ///< The end in the upper half, the begin in the lower.
};

/// A piece of a phase.
struct PieceIndex {
  std::int64_t head = 0;
  std::int64_t index = 0;
  bool operator==(const PieceIndex&) const = default;
};

/// One piece of the work on a head.
struct HeadPiece {
  std::int64_t head = 0;
  int phase = 0;
  std::int64_t index = 0;  ///< Within the phase.
  /// The piece of the same phase that this thread probably takes next, unless it goes on to another
  /// phase or ends: of the same head or, after its last, of another.
  std::optional<PieceIndex> next;
  /// Slot of the thread that has the head, the same for all its pieces, whoever computes them. No
  /// two heads that are in work at a time have the same.
  int owner = 0;
};

/// How far a head is. A line of the cache of its own.
struct alignas(64) SharedHead {
  static constexpr int kNobody = -1;
  struct Phase {
    TwoEnded left;
    std::atomic<std::int64_t> done{0};
  };
  std::array<Phase, 3> phases;
  std::atomic<int> owner{kNobody};
};

/// Calls run(piece, slot) once for every piece of every head: pieces[phase] of them in each phase,
/// which begins when all pieces of the phase before it are done. A thread takes whole heads, so
/// that what one phase leaves for the next stays in the cache of its core. When no head is left, it
/// takes pieces of the others' heads from their end: all threads end within a piece of each other,
/// however fast their cores are just then.
template <std::size_t kPhases, class Run>
void share_heads(std::int64_t heads, const std::array<std::int64_t, kPhases>& pieces,
                 Executor& executor, Run run) {
  static_assert(kPhases <= std::tuple_size_v<decltype(SharedHead::phases)>);
  std::vector<SharedHead> all(static_cast<std::size_t>(heads));
  for (SharedHead& head : all) {
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      head.phases[phase].left.reset(pieces[phase]);
    }
  }
  std::atomic<std::int64_t> next_head{0};
  const auto work_on = [&](std::int64_t index, int slot) {
    SharedHead& head = all[static_cast<std::size_t>(index)];
    const int owner = head.owner.load(std::memory_order_relaxed);
    if (owner == SharedHead::kNobody) return;  // About to be begun; it stays with who does.
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      SharedHead::Phase& now = head.phases[phase];
      while (const auto taken = now.left.take(owner == slot)) {
        HeadPiece piece{index, static_cast<int>(phase), taken->number, std::nullopt, owner};
        if (taken->next != TwoEnded::kNone) {
          piece.next = PieceIndex{index, taken->next};
        } else if (kPhases == 1 && next_head.load(std::memory_order_relaxed) < heads) {
          piece.next = PieceIndex{next_head.load(std::memory_order_relaxed), 0};
        }
        run(piece, slot);
        now.done.fetch_add(1, std::memory_order_release);
      }
      if (phase + 1 == kPhases) return;
      // What is missing is a piece that another thread is at.
      while (now.done.load(std::memory_order_acquire) < pieces[phase]) std::this_thread::yield();
    }
  };
  executor.parallel_for(executor.threads(), [&](std::int64_t, int slot) {
    for (std::int64_t head = next_head.fetch_add(1); head < heads; head = next_head.fetch_add(1)) {
      all[static_cast<std::size_t>(head)].owner.store(slot, std::memory_order_relaxed);
      work_on(head, slot);
    }
    for (std::int64_t head = 0; head < heads; ++head) work_on(head, slot);
  });
}

}  // namespace attnbench::kernels
