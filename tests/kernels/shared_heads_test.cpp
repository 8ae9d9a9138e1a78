#include "kernels/shared_heads.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "kernels/arena.h"

namespace attnbench::kernels {
namespace {

TEST(TwoEnded, HandsOutNeighboursFromBothEnds) {
  TwoEnded numbers;
  EXPECT_FALSE(numbers.take(true));
  numbers.reset(5);
  const auto expect = [&](bool front, std::int64_t number, std::int64_t next) {
    const auto taken = numbers.take(front);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->number, number);
    EXPECT_EQ(taken->next, next);
  };
  expect(true, 0, 1);
  expect(false, 4, 3);
  expect(false, 3, 2);
  expect(true, 1, 2);
  expect(false, 2, TwoEnded::kNone);
  EXPECT_FALSE(numbers.take(true));
  EXPECT_FALSE(numbers.take(false));
}

TEST(TwoEnded, GivesEachNumberToOneThread) {
  constexpr std::int64_t kCount = 20000;
  TwoEnded numbers;
  numbers.reset(kCount);
  std::vector<std::atomic<int>> taken(kCount);
  ThreadArena arena(4);
  arena.parallel_for(4, [&](std::int64_t index, int) {
    while (const auto one = numbers.take(index % 2 == 0)) {
      taken[static_cast<std::size_t>(one->number)].fetch_add(1);
    }
  });
  for (const auto& count : taken) EXPECT_EQ(count.load(), 1);
}

TEST(ShareHeads, RunsEveryPieceOnceAndPhasesInOrder) {
  const std::array<std::int64_t, 3> pieces{3, 1, 5};
  for (const int threads : {1, 2, 4}) {
    ThreadArena arena(threads);
    for (const std::int64_t heads : {0, 1, 2, 3, 8, 200}) {
      std::vector<std::array<std::atomic<int>, 3>> done(static_cast<std::size_t>(heads));
      std::vector<std::array<std::array<std::atomic<int>, 5>, 3>> calls(
          static_cast<std::size_t>(heads));
      std::vector<std::atomic<int>> owners(static_cast<std::size_t>(heads));
      for (auto& owner : owners) owner = -1;
      std::vector<std::atomic<int>> in_slot(static_cast<std::size_t>(threads));
      share_heads<3>(heads, pieces, arena, [&](const HeadPiece& piece, int slot) {
        const auto head = static_cast<std::size_t>(piece.head);
        const auto phase = static_cast<std::size_t>(piece.phase);
        EXPECT_EQ(in_slot[static_cast<std::size_t>(slot)].fetch_add(1), 0) << "slot in use";
        for (std::size_t before = 0; before < phase; ++before) {
          EXPECT_EQ(done[head][before].load(), pieces[before]) << "phase " << piece.phase;
        }
        ASSERT_LT(piece.index, pieces[phase]);
        calls[head][phase][static_cast<std::size_t>(piece.index)].fetch_add(1);
        int nobody = -1;
        if (!owners[head].compare_exchange_strong(nobody, piece.owner)) {
          EXPECT_EQ(nobody, piece.owner);
        }
        done[head][phase].fetch_add(1);
        in_slot[static_cast<std::size_t>(slot)].fetch_sub(1);
      });
      for (const auto& head : calls) {
        for (std::size_t phase = 0; phase < 3; ++phase) {
          for (std::size_t i = 0; i < 5; ++i) {
            EXPECT_EQ(head[phase][i].load(), static_cast<std::int64_t>(i) < pieces[phase] ? 1 : 0);
          }
        }
      }
    }
  }
}

TEST(ShareHeads, OneThreadGoesHeadByHeadFromTheFront) {
  ThreadArena arena(1);
  using Step = std::array<std::int64_t, 5>;  // Head, phase, index, and head and index of the next.
  std::vector<Step> order;
  const auto note = [&](const HeadPiece& piece, int) {
    const PieceIndex next = piece.next.value_or(PieceIndex{-1, -1});
    order.push_back({piece.head, piece.phase, piece.index, next.head, next.index});
  };
  share_heads<2>(2, {2, 3}, arena, note);
  EXPECT_EQ(order, (std::vector<Step>{{0, 0, 0, 0, 1},
                                      {0, 0, 1, -1, -1},
                                      {0, 1, 0, 0, 1},
                                      {0, 1, 1, 0, 2},
                                      {0, 1, 2, -1, -1},
                                      {1, 0, 0, 1, 1},
                                      {1, 0, 1, -1, -1},
                                      {1, 1, 0, 1, 1},
                                      {1, 1, 1, 1, 2},
                                      {1, 1, 2, -1, -1}}));
  order.clear();
  share_heads<1>(2, {2}, arena, note);
  EXPECT_EQ(order, (std::vector<Step>{
                       {0, 0, 0, 0, 1}, {0, 0, 1, 1, 0}, {1, 0, 0, 1, 1}, {1, 0, 1, -1, -1}}));
}

/// For a minute at most.
template <class Condition>
void wait_for(Condition condition) {
  for (int i = 0; i < 60000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// The last piece of the first phase, which a helper has, is still at work when the owner has
/// nothing left to do but the second phase.
TEST(ShareHeads, APhaseWaitsForThePiecesOfHelpers) {
  ThreadArena arena(2);
  std::atomic<bool> helping{false}, helped{false}, second{false};
  share_heads<2>(1, {2, 1}, arena, [&](const HeadPiece& piece, int slot) {
    if (piece.phase == 1) {
      EXPECT_TRUE(helped.load()) << "the second phase began before the first was over";
      second = true;
    } else if (slot == piece.owner) {
      wait_for([&] { return helping.load(); });
    } else {
      helping = true;
      for (int i = 0; i < 100 && !second.load(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      helped = true;
    }
  });
  EXPECT_TRUE(helping.load());
  EXPECT_TRUE(second.load());
}

/// The first piece of the only head is not over before another thread has done one: without help
/// this would never be.
TEST(ShareHeads, WhoeverHasNoHeadHelpsFromTheEnd) {
  constexpr std::int64_t kPieces = 100;
  ThreadArena arena(2);
  std::atomic<std::int64_t> helped{0}, lowest{kPieces};
  share_heads<1>(1, {kPieces}, arena, [&](const HeadPiece& piece, int slot) {
    if (slot != piece.owner) {
      EXPECT_EQ(piece.index, kPieces - 1 - helped.fetch_add(1));
      lowest = piece.index;
      return;
    }
    if (piece.index == 0) wait_for([&] { return helped.load() > 0; });
  });
  EXPECT_GT(helped.load(), 0);
  EXPECT_EQ(lowest.load(), kPieces - helped.load());
}

/// What belongs to an owner is used by one head at a time.
TEST(ShareHeads, HeadsInWorkHaveDifferentOwners) {
  constexpr int kThreads = 3;
  ThreadArena arena(kThreads);
  constexpr std::int64_t kHeads = 50, kPieces = 4;
  std::array<std::atomic<std::int64_t>, kThreads> head_of_owner{};
  std::array<std::atomic<std::int64_t>, kHeads> left{};
  for (auto& l : left) l = kPieces;
  for (auto& head : head_of_owner) head = -1;
  share_heads<1>(kHeads, {kPieces}, arena, [&](const HeadPiece& piece, int) {
    auto& current = head_of_owner[static_cast<std::size_t>(piece.owner)];
    const std::int64_t before = current.exchange(piece.head);
    if (before >= 0 && before != piece.head) {
      EXPECT_EQ(left[static_cast<std::size_t>(before)].load(), 0) << "in work for the same owner";
    }
    left[static_cast<std::size_t>(piece.head)].fetch_sub(1);
  });
}

}  // namespace
}  // namespace attnbench::kernels
