#include "kernels/upcoming.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace attnbench::kernels {
namespace {

constexpr std::int64_t kLineFloats = LinesAhead::kLineBytes / sizeof(float);

/// Lines of a buffer, as Upcoming hands them out.
class UpcomingTest : public ::testing::Test {
 protected:
  UpcomingTest() : floats_(400 * kLineFloats) {}

  const float* line(std::int64_t index) const { return floats_.data() + index * kLineFloats; }
  void add(std::int64_t first, std::int64_t count) {
    upcoming_.add(line(first), count * kLineFloats);
  }
  /// Takes work in `parts` of `work`; returns the lines that were asked for, in order.
  std::vector<std::int64_t> taken(int parts, std::int64_t work, std::int64_t most) {
    std::vector<std::int64_t> all;
    for (int i = 0; i < parts; ++i) {
      const LinesAhead lines = upcoming_.take(work, most);
      EXPECT_LE(lines.count, most);
      const std::int64_t first =
          (reinterpret_cast<const float*>(lines.first) - floats_.data()) / kLineFloats;
      for (std::int64_t n = 0; n < lines.count; ++n) all.push_back(first + n);
    }
    return all;
  }
  static std::vector<std::int64_t> from_to(std::int64_t from, std::int64_t to) {
    std::vector<std::int64_t> all;
    for (; from < to; ++from) all.push_back(from);
    return all;
  }

  std::vector<float> floats_;
  Upcoming upcoming_;
};

TEST_F(UpcomingTest, EveryLineOnceWellBeforeTheWorkIsDone) {
  add(0, 100);
  EXPECT_EQ(upcoming_.lines(), 100);
  upcoming_.spread_over(1000);
  EXPECT_EQ(taken(40, 10, 64), from_to(0, 50));
  EXPECT_EQ(taken(41, 10, 64), from_to(50, 100));
  EXPECT_TRUE(taken(100, 10, 64).empty());
}

TEST_F(UpcomingTest, WhatIsDueBeyondTheMostComesLater) {
  add(0, 40);
  upcoming_.spread_over(100);
  EXPECT_EQ(taken(1, 90, 16), from_to(0, 16));
  EXPECT_EQ(taken(1, 0, 16), from_to(16, 32));
  EXPECT_EQ(taken(1, 0, 16), from_to(32, 40));
}

TEST_F(UpcomingTest, LinesOfOneCallFollowEachOther) {
  add(0, 3);
  add(3, 2);  // Follows: the same five lines.
  add(20, 4);
  upcoming_.spread_over(100);
  EXPECT_EQ(taken(1, 100, 64), from_to(0, 5));
  EXPECT_EQ(taken(1, 0, 64), from_to(20, 24));
}

TEST_F(UpcomingTest, RowsThatAreApartComeOneAfterTheOther) {
  upcoming_.add_rows(line(0), 10 * kLineFloats, 3, 2 * kLineFloats);  // Two of every ten lines.
  upcoming_.add_rows(line(22), 2 * kLineFloats, 2, 2 * kLineFloats);  // Four without a gap.
  upcoming_.add_rows(line(60), 5 * kLineFloats, 0, kLineFloats);      // None.
  upcoming_.add_rows(line(70), 3 * kLineFloats, 2, kLineFloats / 2);  // Parts of lines.
  EXPECT_EQ(upcoming_.lines(), 3 * 2 + 4 + 2);
  upcoming_.spread_over(100);
  std::vector<std::int64_t> all = taken(1, 100, 1);
  for (const std::int64_t at : taken(20, 0, 64)) all.push_back(at);
  EXPECT_EQ(all, (std::vector<std::int64_t>{0, 1, 10, 11, 20, 21, 22, 23, 24, 25, 70, 73}));
}

TEST_F(UpcomingTest, ReckonsWithTheShareOfTheWorkThatWasDoneBefore) {
  add(0, 100);
  upcoming_.spread_over(1000);
  taken(10, 20, 64);  // A fifth: the rest was masked.
  upcoming_.clear();
  EXPECT_EQ(upcoming_.lines(), 0);
  add(100, 100);
  upcoming_.spread_over(1000);
  EXPECT_EQ(taken(9, 20, 64), from_to(100, 200));
  EXPECT_TRUE(taken(1, 20, 64).empty());
  upcoming_.clear();
  // More than was planned counts as all of it.
  add(0, 10);
  upcoming_.spread_over(100);
  taken(10, 100, 64);
  upcoming_.clear();
  add(0, 100);
  upcoming_.spread_over(1000);
  EXPECT_EQ(taken(4, 100, 64), from_to(0, 50));
}

/// A plan for a tile without keys, and then the work of large ones.
TEST_F(UpcomingTest, MoreWorkThanWasPlannedDoesNotOverflow) {
  add(0, 300);
  upcoming_.spread_over(0);
  constexpr std::int64_t kWork = std::int64_t{1} << 24;
  EXPECT_EQ(taken(3, kWork, 100), from_to(0, 300));
  EXPECT_TRUE(taken(100000, kWork, 100).empty());
}

TEST_F(UpcomingTest, StepsAndTheRestLeaveNothingTwice) {
  add(0, 40);
  add(100, 40);
  upcoming_.spread_over(800);
  upcoming_.step(400);  // 50 of 80, from both spans.
  EXPECT_EQ(taken(1, 100, 64), from_to(110, 122));
  upcoming_.rest();
  EXPECT_TRUE(taken(10, 800, 64).empty());
}

TEST_F(UpcomingTest, RequestsAtAnEvenPaceAreDoneInTheLastSteps) {
  add(0, 40);
  PacedRequests requests(&upcoming_, 100);
  std::vector<std::int64_t> all;
  std::vector<int> steps;
  for (int step = 0; step < 100; ++step) {
    const LinesAhead lines = requests.next();
    if (lines.count == 0) continue;
    EXPECT_EQ(lines.count, 4);
    steps.push_back(step);
    const std::int64_t first =
        (reinterpret_cast<const float*>(lines.first) - floats_.data()) / kLineFloats;
    for (std::int64_t n = 0; n < lines.count; ++n) all.push_back(first + n);
  }
  EXPECT_EQ(all, from_to(0, 40));
  ASSERT_EQ(steps.size(), 10);
  for (std::size_t i = 1; i < steps.size(); ++i) {
    EXPECT_GE(steps[i] - steps[i - 1], 9);
    EXPECT_LE(steps[i] - steps[i - 1], 10);
  }
}

TEST_F(UpcomingTest, RequestsTakeARowAtATimeAndAtMostOneInAStep) {
  // Rows of 3 lines: no request goes on to the next.
  upcoming_.add_rows(line(0), 10 * kLineFloats, 5, 3 * kLineFloats);
  PacedRequests requests(&upcoming_, 2);
  for (std::int64_t row = 0; row < 5; ++row) {
    const LinesAhead lines = requests.next();
    EXPECT_EQ(lines.count, 3);
    EXPECT_EQ(lines.first, reinterpret_cast<const char*>(line(10 * row)));
  }
  EXPECT_EQ(requests.next().count, 0) << "nothing is left";
}

TEST_F(UpcomingTest, NoRequestsForNothing) {
  PacedRequests none;
  PacedRequests null(nullptr, 10);
  add(0, 4);
  PacedRequests no_steps(&upcoming_, 0);
  for (PacedRequests* requests : {&none, &null, &no_steps}) {
    for (int step = 0; step < 20; ++step) EXPECT_EQ(requests->next().count, 0);
  }
}

}  // namespace
}  // namespace attnbench::kernels
