#include "measure/instruction_count.h"

#include <gtest/gtest.h>

namespace attnbench::measure {
namespace {

TEST(InstructionCount, TotalIsReadFromWhatCallgrindWrites) {
  EXPECT_EQ(
      callgrind_total("# callgrind format\nversion: 1\nevents: Ir\nsummary: 5\ntotals: 6013\n"),
      6013);
  EXPECT_EQ(callgrind_total("version: 1\nevents: Ir\n"), std::nullopt);
  EXPECT_EQ(callgrind_total(""), std::nullopt);
  EXPECT_EQ(callgrind_total("totals: many\n"), std::nullopt);
}

TEST(InstructionCount, OutsideOfValgrindCallgrindCountsNothingAndSaysSo) {
  InstructionCounter counter("/nonexistent/callgrind.out");
  bool ran = false;
  EXPECT_EQ(counter.count([&] { ran = true; }), std::nullopt);
  EXPECT_FALSE(ran);
  EXPECT_NE(counter.refusal().find("valgrind"), std::string::npos);
  EXPECT_STREQ(counter.source(), "callgrind");
}

TEST(InstructionCount, PerfCountsMoreForMoreOrSaysWhyNot) {
  InstructionCounter counter;
  volatile double sum = 1;
  const auto count = [&](int turns) {
    return counter.count([&] {
      for (int i = 0; i < turns; ++i) sum = sum * 1.01;
    });
  };
  const auto few = count(1000), more = count(1000000);
  if (!few) {
    EXPECT_FALSE(counter.refusal().empty());
    EXPECT_EQ(more, std::nullopt);
    return;
  }
  ASSERT_TRUE(more.has_value());
  EXPECT_GT(*more - *few, 2 * 999000);
  EXPECT_STREQ(counter.source(), "perf");
}

}  // namespace
}  // namespace attnbench::measure
