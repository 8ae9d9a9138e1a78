#include "measure/hardware_counters.h"

#include <gtest/gtest.h>
#include <linux/perf_event.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace attnbench::measure {
namespace {

/// Page faults are counted by the kernel's software, on machines without counters too.
std::vector<CounterEvent> page_faults() {
  return {{PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS}};
}

/// Causes at least `pages` page faults in the calling thread.
void fault(std::size_t pages) {
  constexpr std::size_t kPage = 4096;
  std::vector<std::unique_ptr<char[]>> blocks;
  for (std::size_t i = 0; i < pages; ++i) {
    // Large blocks come fresh from the system; one write each.
    blocks.push_back(std::unique_ptr<char[]>(new char[512 * kPage]));
    static_cast<volatile char*>(blocks.back().get())[256 * kPage] = 1;
  }
}

TEST(ProcessCounters, CountTheEventsOfThisProcess) {
  ProcessCounters counters(page_faults());
  if (!counters.available()) GTEST_SKIP() << "this system does not let processes count events";
  const auto before = counters.read();
  fault(200);
  const auto after = counters.read();
  ASSERT_TRUE(before[0] && after[0]);
  EXPECT_GE(*after[0] - *before[0], 100);
}

TEST(ProcessCounters, KeepWhatEndedThreadsCounted) {
  ProcessCounters counters(page_faults());
  if (!counters.available()) GTEST_SKIP() << "this system does not let processes count events";
  std::int64_t before = 0;
  std::thread worker([&] {
    before = *counters.read()[0];
    fault(200);
  });
  worker.join();
  EXPECT_GE(*counters.read()[0] - before, 100);
  const std::int64_t later = *counters.read()[0];
  EXPECT_GE(*counters.read()[0], later);
}

TEST(ProcessCounters, LeaveOutWhatCannotBeCounted) {
  constexpr std::uint32_t kNoSuchType = 0x7fffffff;
  ProcessCounters none({{kNoSuchType, 0}});
  EXPECT_FALSE(none.available());
  EXPECT_FALSE(none.read()[0].has_value());
  EXPECT_EQ(none.refusal().find("perf_event_open: "), 0U) << none.refusal();
  ProcessCounters hardware;
  EXPECT_EQ(hardware.read().size(), 3U);
}

}  // namespace
}  // namespace attnbench::measure
