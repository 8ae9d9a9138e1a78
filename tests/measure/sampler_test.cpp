#include "measure/sampler.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace attnbench::measure {
namespace {

TEST(Sampler, RunsExactlyTheIterationsAskedFor) {
  int calls = 0;
  Sampler sampler("counting", [&] { ++calls; });
  for (const int n : {1, 7, 3}) {
    calls = 0;
    const TimedSample sample = sampler.sample(n);
    EXPECT_EQ(calls, n);
    EXPECT_EQ(sample.iterations, n);
    EXPECT_GE(sample.wall_s, 0);
    EXPECT_GE(sample.cpu_s, 0);
  }
}

TEST(Sampler, RunsOnlyTheOneAskedFor) {
  int a_calls = 0, b_calls = 0;
  Sampler a("same name", [&] { ++a_calls; });
  Sampler b("same name", [&] { ++b_calls; });
  for (int i = 0; i < 1000; ++i) {
    a.sample(2);
    b.sample(1);
  }
  EXPECT_EQ(a_calls, 2000);
  EXPECT_EQ(b_calls, 1000);
}

TEST(Sampler, PrintsNothing) {
  Sampler sampler("silent", [] {});
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  sampler.sample(3);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Sampler, HandsOnWhatTheBodyThrowsAndGoesOnAfterwards) {
  int calls = 0;
  Sampler sampler("throwing", [&] {
    if (++calls == 2) throw std::runtime_error("second call");
  });
  try {
    sampler.sample(5);
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& thrown) {
    EXPECT_EQ(std::string(thrown.what()), "second call");
  }
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(sampler.sample(4).iterations, 4);
  EXPECT_EQ(calls, 6);
}

TEST(Sampler, OrdersSamplesInTime) {
  Sampler sampler("ordered", [] {});
  const double before = steady_now_s();
  const TimedSample first = sampler.sample(1);
  const TimedSample second = sampler.sample(1);
  EXPECT_LE(before, first.start_s);
  EXPECT_LE(first.start_s, second.start_s);
  EXPECT_LE(second.start_s, steady_now_s());
}

TEST(Clock, HasAResolutionThatIsPositive) {
  EXPECT_GT(clock_resolution_s(), 0);
  EXPECT_EQ(clock_resolution_s(), clock_resolution_s());
  const double before = process_cpu_s();
  volatile double sum = 0;
  for (int i = 0; i < 100000; ++i) sum = sum + i;
  EXPECT_GE(process_cpu_s(), before);
}

}  // namespace
}  // namespace attnbench::measure
