#include "analyse/series.h"

#include <gtest/gtest.h>

#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::row;

TEST(GroupSeries, OneSeriesPerVariantParamsThreadsAndProblem) {
  std::vector<Record> rows;
  for (const std::int64_t n : {1024, 256, 512}) {
    rows.push_back(row("flash", n, 1e-6 * static_cast<double>(n)));
    rows.push_back(row("flash", n, 1e-6 * static_cast<double>(n), 2));
    rows.push_back(row("full", n, 2e-6 * static_cast<double>(n)));
    rows.push_back(row("full", n, 2e-6 * static_cast<double>(n)));
    rows.back().axes.causal = true;
  }
  const auto series = group_series(rows);
  ASSERT_EQ(series.size(), 4u);
  EXPECT_EQ(series[0].axes.variant, "flash");
  EXPECT_EQ(series[0].swept, "seq");
  ASSERT_EQ(series[0].points.size(), 3u);
  EXPECT_EQ(series[0].points[0].seq, 256);
  EXPECT_EQ(series[0].points[2].seq, 1024);
  EXPECT_EQ(series[0].problem, "B=1 H=4 D=64 avx2");
  EXPECT_EQ(series[1].axes.threads, 2);
  EXPECT_EQ(series[3].problem, "B=1 H=4 D=64 causal avx2");
  EXPECT_EQ(series[0].time_law, "N^2");
}

// Every axis column but the lengths must keep rows apart.
TEST(GroupSeries, EveryAxisSeparates) {
  using Change = void (*)(CaseAxes&);
  const Change changes[]{
      [](CaseAxes& a) { a.variant = "x"; },  [](CaseAxes& a) { a.params = "x=1"; },
      [](CaseAxes& a) { a.mode = "cross"; }, [](CaseAxes& a) { a.pass = "fwd+bwd"; },
      [](CaseAxes& a) { a.dtype = "bf16"; }, [](CaseAxes& a) { a.layout = "bnhd"; },
      [](CaseAxes& a) { a.isa = "avx512"; }, [](CaseAxes& a) { a.input = "sink"; },
      [](CaseAxes& a) { a.mask = "block"; }, [](CaseAxes& a) { a.position = "alibi"; },
      [](CaseAxes& a) { a.cache = "cold"; }, [](CaseAxes& a) { a.batch = 2; },
      [](CaseAxes& a) { a.heads_q = 8; },    [](CaseAxes& a) { a.heads_kv = 2; },
      [](CaseAxes& a) { a.dim_qk = 32; },    [](CaseAxes& a) { a.dim_v = 32; },
      [](CaseAxes& a) { a.causal = true; },  [](CaseAxes& a) { a.threads = 2; }};
  for (std::size_t i = 0; i < std::size(changes); ++i) {
    std::vector<Record> rows{row("flash", 256, 1e-3), row("flash", 512, 2e-3)};
    changes[i](rows[1].axes);
    const auto series = group_series(rows);
    ASSERT_EQ(series.size(), 2u) << "change " << i;
    const bool of_problem = series[0].axes.variant == series[1].axes.variant &&
                            series[0].axes.params == series[1].axes.params &&
                            series[0].axes.threads == series[1].axes.threads;
    EXPECT_EQ(series[0].problem != series[1].problem, of_problem) << "change " << i;
    rows[1].axes.seq_q = rows[1].axes.seq_k = 256;
    EXPECT_NE(cell_label(rows[0].axes), cell_label(rows[1].axes)) << "change " << i;
  }
}

TEST(CellLabel, NamesVariantProblemAndThreads) {
  Record cell = row("local", 256, 1e-3);
  EXPECT_EQ(cell_label(cell.axes), "local N=256 B=1 H=4 D=64 avx2 T=1");
  cell.axes.params = "left=64;right=64";
  cell.axes.seq_q = 1;
  cell.axes.mode = "decode";
  EXPECT_EQ(cell_label(cell.axes),
            "local left=64;right=64 Nq=1 Nk=256 B=1 H=4 D=64 decode avx2 T=1");
}

TEST(GroupSeries, TheSweptLength) {
  std::vector<Record> decode;
  for (const std::int64_t keys : {256, 512, 1024}) {
    for (const std::int64_t queries : {1, 4}) {
      decode.push_back(row("flash", keys, 1e-4));
      decode.back().axes.mode = "decode";
      decode.back().axes.seq_q = queries;
    }
  }
  const auto by_keys = group_series(decode);
  ASSERT_EQ(by_keys.size(), 2u);
  EXPECT_EQ(by_keys[0].swept, "seq_k");
  EXPECT_EQ(by_keys[0].points.size(), 3u);
  EXPECT_EQ(by_keys[1].problem, "B=1 H=4 Nq=4 D=64 decode avx2");

  std::vector<Record> cross;
  for (const std::int64_t queries : {256, 512, 1024}) {
    cross.push_back(row("flash", 512, 1e-4));
    cross.back().axes.mode = "cross";
    cross.back().axes.seq_q = queries;
  }
  const auto by_queries = group_series(cross);
  ASSERT_EQ(by_queries.size(), 1u);
  EXPECT_EQ(by_queries[0].swept, "seq_q");
  EXPECT_EQ(by_queries[0].points.back().seq, 1024);
  EXPECT_NE(by_queries[0].problem.find("Nk=512"), std::string::npos);
}

TEST(GroupSeries, RowsWithoutATimeAreGaps) {
  std::vector<Record> rows{row("full", 256, 1e-3), row("full", 512, 1e-3), row("full", 1024, 0)};
  rows[1].status = RowStatus::skipped;
  rows[1].reason = "needs 17 GiB";
  rows[1].time_median_s.reset();
  rows[2].time_median_s.reset();
  const auto series = group_series(rows);
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].points.size(), 1u);
  ASSERT_EQ(series[0].gaps.size(), 2u);
  EXPECT_EQ(series[0].gaps[0].reason, "needs 17 GiB");
}

TEST(GroupSeries, NoiseFromIntervalsThenSamplesThenAssumed) {
  Record with = row("flash", 256, 1e-3);
  with.time_ci_low_s = 0.9e-3;
  with.time_ci_high_s = 1.1e-3;
  EXPECT_NEAR(group_series({&with, 1})[0].points[0].time.log_sd, std::log(1.1 / 0.9) / 2 / 1.96,
              1e-4);

  Record without = row("flash", 256, 1e-3);
  without.time_ci_low_s.reset();
  EXPECT_EQ(group_series({&without, 1})[0].points[0].time.log_sd, kUnknownNoise);
  std::vector<SampleRow> samples;
  for (int i = 0; i < 12; ++i) {
    samples.push_back({.case_id = without.case_id(),
                       .round = i,
                       .order = 0,
                       .inner_iterations = 1,
                       .time_s = 1e-3 * (i % 2 == 0 ? 0.98 : 1.02)});
  }
  const auto series = group_series({&without, 1}, samples);
  EXPECT_NEAR(series[0].points[0].time.log_sd, 1.2533 * 0.0209 / std::sqrt(12), 5e-4);
  EXPECT_EQ(series[0].points[0].rounds.size(), 12u);
}

TEST(GroupSeries, RepeatedCasesAreMerged) {
  const std::vector<Record> rows{row("flash", 256, 1e-3), row("flash", 256, 1.21e-3)};
  const auto series = group_series(rows);
  ASSERT_EQ(series.size(), 1u);
  ASSERT_EQ(series[0].points.size(), 1u);
  EXPECT_NEAR(series[0].points[0].time.median_s, 1.1e-3, 1e-9);
  EXPECT_GT(series[0].points[0].time.log_sd, 0.05) << "two runs that differ by 21%";
}

TEST(RoundValues, MedianOfARoundAndNoNonsense) {
  const std::vector<SampleRow> samples{{.case_id = "a", .round = 0, .time_s = 1},
                                       {.case_id = "a", .round = 0, .time_s = 3},
                                       {.case_id = "a", .round = 0, .time_s = 2},
                                       {.case_id = "a", .round = 1, .time_s = 0},
                                       {.case_id = "b", .round = 1, .time_s = 5}};
  const auto values = round_values(samples);
  EXPECT_EQ(values.at("a"), (RoundValues{{0, 2}}));
  EXPECT_EQ(values.at("b"), (RoundValues{{1, 5}}));
}

}  // namespace
}  // namespace attnbench::analyse
