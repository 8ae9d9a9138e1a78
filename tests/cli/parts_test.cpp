// The pieces below the subcommands.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <thread>

#include "cli/aa_noise.h"
#include "cli/interrupt.h"
#include "cli/process.h"
#include "cli/progress.h"
#include "cli/python.h"
#include "cli/report.h"
#include "cli/scalar_flags.h"
#include "cli/text_table.h"
#include "kernels/onednn_gemm.h"

namespace attnbench::cli {
namespace {

TEST(Report, QuotesForTheShellOnlyWhatNeedsIt) {
  EXPECT_EQ(shell_quoted({"attnbench", "run", "--seq", "256:4096:x2"}),
            "attnbench run --seq 256:4096:x2");
  EXPECT_EQ(shell_quoted({"a b", "it's", "", "$x"}), "'a b' 'it'\\''s' '' '$x'");
}

TEST(Report, ScalesNumbersForPeople) {
  EXPECT_EQ(duration_text(1.5e-8), "15 ns");
  EXPECT_EQ(duration_text(0.00123), "1.23 ms");
  EXPECT_EQ(duration_text(61.7 * 60), "1:01:42");
  EXPECT_EQ(clock_text(7.4), "0:07");
  EXPECT_EQ(clock_text(754), "12:34");
  EXPECT_EQ(count_text(17), "17");
  EXPECT_EQ(count_text(4.2949e9), "4.29 G");
  EXPECT_EQ(count_text(999.7e3), "1.00 M");
}

TEST(Report, ErrorsAreOneLineWithAHint) {
  std::ostringstream out, err;
  Registry registry;
  const Context context{.out = out, .err = err, .registry = registry, .arguments = {}};
  EXPECT_EQ(fail(context, io_error("x.npy: bad"), "try y"), ExitCode::usage);
  EXPECT_EQ(err.str(), "attnbench: error: x.npy: bad\nattnbench: hint: try y\n");
}

TEST(TextTable, AlignsByCharactersNotBytes) {
  TextTable table({{"name"}, {"value", TextTable::Align::right}});
  table.add({"µs", "1"});
  table.add({"longer", "10"});
  EXPECT_EQ(table.text(1), " name    value\n µs          1\n longer     10\n");
  EXPECT_THROW(table.add({"one cell"}), std::invalid_argument);
}

TEST(TextTable, WrapsAtBlanksAndKeepsLines) {
  EXPECT_EQ(wrapped("aa bb cc", 5, 2), "aa bb\n  cc");
  EXPECT_EQ(wrapped("a\nb", 10, 1), "a\n b");
  EXPECT_EQ(wrapped("toolongaword x", 4, 0), "toolongaword\nx");
}

TEST(ScalarFlags, AcceptWhatTheyShould) {
  EXPECT_EQ(*parse_integer("4k", "--x", 1, 10000), 4096);
  EXPECT_EQ(*parse_threads("3"), 3);
  EXPECT_GE(*parse_threads("all"), 1);
  EXPECT_EQ(*parse_seed("18446744073709551615"), 18446744073709551615ULL);
  EXPECT_EQ(*parse_number("-2.5e-1", "--scale"), -0.25);
  EXPECT_EQ(*parse_switch("off", "--causal"), false);
  const auto values = parse_assignments({"a=1", "b=x=y"}, "--param");
  ASSERT_TRUE(values);
  EXPECT_EQ(values->at("b"), "x=y");
}

TEST(ScalarFlags, RefuseWhatTheyShouldAndNameTheFlag) {
  const auto refuses = [](const auto& result, const std::string& flag) {
    return !result && result.error().kind == Error::Kind::usage &&
           result.error().message.find(flag) != std::string::npos;
  };
  EXPECT_TRUE(refuses(parse_integer("1,2", "--x", 1, 9), "--x"));
  EXPECT_TRUE(refuses(parse_integer("10", "--x", 1, 9), "--x"));
  EXPECT_TRUE(refuses(parse_threads("0"), "--threads"));
  EXPECT_TRUE(refuses(parse_threads("many"), "--threads"));
  EXPECT_TRUE(refuses(parse_seed("-1"), "--seed"));
  EXPECT_TRUE(refuses(parse_seed("18446744073709551616"), "--seed"));
  EXPECT_TRUE(refuses(parse_number("1.5x", "--scale"), "--scale"));
  EXPECT_TRUE(refuses(parse_number("nan", "--scale"), "--scale"));
  EXPECT_TRUE(refuses(parse_switch("off,on", "--causal"), "--causal"));
  EXPECT_TRUE(refuses(parse_assignments({"=1"}, "--aux"), "--aux"));
  EXPECT_TRUE(refuses(parse_assignments({"a=1", "a=2"}, "--aux"), "twice"));
}

RunProgress at(std::int64_t done, double elapsed_s, double remaining_s) {
  return {done, 60, "flash N=4096 T=2", "sample", elapsed_s, remaining_s};
}

TEST(Progress, StyleFollowsTheTerminalAndTheFlags) {
  EXPECT_EQ(*progress_style("auto", false, true), ProgressStyle::line);
  EXPECT_EQ(*progress_style("auto", false, false), ProgressStyle::plain);
  EXPECT_EQ(*progress_style("always", false, false), ProgressStyle::line);
  EXPECT_EQ(*progress_style("never", false, true), ProgressStyle::none);
  EXPECT_EQ(*progress_style("always", true, true), ProgressStyle::none);
  EXPECT_FALSE(progress_style("sometimes", false, true));
}

TEST(Progress, SaysDoneCurrentElapsedAndRemaining) {
  EXPECT_EQ(progress_text(at(12, 12, 48)),
            "[12/60] flash N=4096 T=2 (sample), 0:12 elapsed, 0:48 left");
  EXPECT_EQ(progress_text({60, 60, "", "", 75, 0}), "[60/60], 1:15 elapsed");
}

TEST(Progress, RedrawsAtMostTenTimesASecondWithinTheWidth) {
  double now = 0;
  std::ostringstream out;
  ProgressPrinter printer(out, ProgressStyle::line, 20, [&now] { return now; });
  printer.update(at(1, 1, 2));
  EXPECT_EQ(out.str(), "\r[1/60] flash N=4096\x1b[K");
  out.str("");
  now = 0.05;
  printer.update(at(2, 1, 2));
  printer.group_finished();
  EXPECT_EQ(out.str(), "");
  now = 0.2;
  printer.update(at(2, 1, 2));
  EXPECT_NE(out.str(), "");
  out.str("");
  printer.clear();
  EXPECT_EQ(out.str(), "\r\x1b[K");
  out.str("");
  printer.clear();
  EXPECT_EQ(out.str(), "");
}

TEST(Progress, PlainLinesComePerGroupAtMostOneASecond) {
  double now = 0;
  std::ostringstream out;
  ProgressPrinter printer(out, ProgressStyle::plain, 80, [&now] { return now; });
  printer.update(at(1, 1, 2));
  EXPECT_EQ(out.str(), "");
  printer.group_finished();
  now = 0.5;
  printer.update(at(2, 1, 2));
  printer.group_finished();
  now = 1.5;
  printer.update(at(3, 1, 2));
  printer.group_finished();
  EXPECT_EQ(out.str(),
            "attnbench: [1/60] flash N=4096 T=2 (sample), 0:01 elapsed, 0:02 left\n"
            "attnbench: [3/60] flash N=4096 T=2 (sample), 0:01 elapsed, 0:02 left\n");
}

TEST(AaNoise, CancelsADriftAndSeesADifference) {
  std::vector<double> drifting;
  for (int i = 0; i < 64; ++i) drifting.push_back(1 + 0.001 * i);
  EXPECT_NEAR(aa_noise(drifting).difference, 0, 1e-12);
  std::vector<double> different;
  for (int i = 0; i < 64; ++i) different.push_back(i % 4 == 0 || i % 4 == 3 ? 1.0 : 1.1);
  EXPECT_NEAR(aa_noise(different).difference, 0.1, 1e-12);
  EXPECT_GT(aa_noise(different).spread, 0.05);
  EXPECT_EQ(aa_noise(std::vector<double>(8, 2.0)).spread, 0);
  EXPECT_THROW(aa_noise(std::vector<double>(3, 1.0)), std::invalid_argument);
}

TEST(InterruptDeathTest, TheFirstSignalSetsAFlagAndTheSecondEndsTheProcess) {
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        ::raise(SIGINT);
        if (!guard.interrupted()) ::_exit(99);
        ::raise(SIGTERM);
        ::_exit(98);
      },
      ::testing::ExitedWithCode(130), "");
}

TEST(Interrupt, TheGuardRestoresWhatWasThere) {
  ::signal(SIGINT, SIG_IGN);
  {
    InterruptGuard guard;
    EXPECT_FALSE(guard.interrupted());
    guard.stop();
    EXPECT_TRUE(guard.interrupted());
  }
  EXPECT_EQ(::signal(SIGINT, SIG_DFL), SIG_IGN);
  EXPECT_FALSE(InterruptGuard().interrupted());
}

/// oneDNN 2.6's AVX-512 product of this shape keeps pointers below its stack pointer: a handler on
/// the same stack overwrites them, and the heap is corrupted within a few of these rounds.
TEST(Interrupt, ASignalInsideAMatrixProductChangesNothing) {
  constexpr std::int64_t kRows = 64, kColumns = 64, kDepth = 256;
  const std::vector<float> a(kRows * kDepth, 1.0F), b(kDepth * kColumns, 0.5F);
  const pthread_t here = ::pthread_self();
  for (int round = 0; round < 200; ++round) {
    const InterruptGuard guard;
    std::atomic<bool> under_way = false;
    std::thread sender([&] {
      while (!under_way) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::microseconds(10 + round));
      ::pthread_kill(here, SIGINT);
    });
    while (!guard.interrupted()) {
      std::vector<float> c(kRows * kColumns);
      kernels::onednn_gemm(kRows, kColumns, kDepth, 1, a.data(), kDepth, b.data(), kColumns, false,
                           c.data(), kColumns);
      under_way = true;
      EXPECT_EQ(std::count(c.begin(), c.end(), 0.5F * kDepth), kRows * kColumns) << round;
    }
    sender.join();
  }
}

TEST(Process, PassesExitCodesAndEnvironmentOn) {
  const auto code = run_process({"sh", "-c", "exit $CODE"}, {{"CODE", "7"}});
  ASSERT_TRUE(code);
  EXPECT_EQ(*code, 7);
  EXPECT_EQ(*run_process({"sh", "-c", "kill -9 $$"}), 137);
  const auto absent = run_process({"/no/such/program"});
  EXPECT_FALSE(absent);
}

TEST(Python, FindsThePlotPackageAndTriesTheUsualInterpreters) {
  const auto parent = plot_package_parent();
  ASSERT_TRUE(parent);
  const auto candidates = python_candidates(*parent);
  EXPECT_NE(std::find(candidates.begin(), candidates.end(), "python3"), candidates.end());
  EXPECT_FALSE(python_can_plot("false"));
  EXPECT_FALSE(python_can_plot("/no/such/python"));
}

}  // namespace
}  // namespace attnbench::cli
