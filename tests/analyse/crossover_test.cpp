#include "analyse/crossover.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "analyse/curve.h"
#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::row;
using Law = std::function<double(double)>;

/// Two series with samples (`rounds` > 0) or only intervals, measured with relative noise per
/// round; every round disturbs both alike by `shared`.
std::vector<Series> measured(const Law& first, const Law& second, double noise, double shared,
                             int rounds, Random& random) {
  std::vector<Record> rows;
  std::vector<SampleRow> samples;
  for (int i = 0; i < 6; ++i) {
    const std::int64_t n = 256 << i;
    std::vector<double> common;
    for (int r = 0; r < std::max(rounds, 1); ++r) common.push_back(shared * random.normal());
    for (const auto& [name, law] : {std::pair{"a", first}, std::pair{"b", second}}) {
      Record record = row(name, n, 1);
      std::vector<double> values;
      for (int r = 0; r < std::max(rounds, 1); ++r) {
        const double off = common[static_cast<std::size_t>(r)] + noise * random.normal();
        values.push_back(law(static_cast<double>(n)) * std::exp(off));
        if (rounds > 0) {
          samples.push_back({.case_id = record.case_id(), .round = r, .time_s = values.back()});
        }
      }
      std::ranges::sort(values);
      record.time_median_s = 0.5 * (values[(values.size() - 1) / 2] + values[values.size() / 2]);
      record.time_ci_low_s = *record.time_median_s * std::exp(-1.96 * noise);
      record.time_ci_high_s = *record.time_median_s * std::exp(1.96 * noise);
      rows.push_back(record);
    }
  }
  return group_series(rows, samples);
}

double quadratic(double n) { return 2e-5 + 1e-9 * n * n; }
Law linear_crossing_at(double n) {
  const double slope = (quadratic(n) - 1e-4) / n;
  return [slope](double m) { return 1e-4 + slope * m; };
}

TEST(Curve, PassesThroughItsPointsAndStaysMonotone) {
  const Curve curve({0, 1, 2, 4}, {0, 1, 1.1, 8});
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(curve.linear(curve.x()[i]), curve.y()[i]);
    EXPECT_DOUBLE_EQ(curve.cubic(curve.x()[i]), curve.y()[i]);
  }
  for (double x = 0; x < 4; x += 0.05) EXPECT_LE(curve.cubic(x), curve.cubic(x + 0.05) + 1e-12);
  EXPECT_DOUBLE_EQ(Curve({1, 2}, {1, 3}).cubic(1.5), 2) << "two points: a line";
  EXPECT_DOUBLE_EQ(Curve({1}, {7}).linear(1), 7);
}

TEST(Curve, LastRise) {
  EXPECT_NEAR(*last_rise(Curve({0, 1, 2}, {-1, 1, 2}), 0), 0.5, 1e-9);
  EXPECT_NEAR(*last_rise(Curve({0, 1, 2, 3}, {1, -1, 1, 2}), 0), 1.5, 1e-9) << "not the first";
  EXPECT_FALSE(last_rise(Curve({0, 1}, {1, 2}), 0));
  EXPECT_FALSE(last_rise(Curve({0, 1}, {1, -2}), 0));
  EXPECT_FALSE(last_rise(Curve({0, 1}, {-1, -2}), 1));
}

TEST(Crossover, IsFoundAndOriented) {
  Random random(1);
  // Given either way round, `b` is the one that is faster at the end.
  for (const bool swapped : {false, true}) {
    const Law line = linear_crossing_at(1500);
    const auto series = swapped ? measured(line, quadratic, 0.005, 0, 9, random)
                                : measured(quadratic, line, 0.005, 0, 9, random);
    const auto found = find_crossover(series, 0, 1);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->verdict, CrossoverVerdict::crossover);
    EXPECT_EQ(found->b, swapped ? 0u : 1u);
    EXPECT_NEAR(*found->seq, 1500, 75);
    EXPECT_LT(*found->ci_low, *found->seq);
    EXPECT_GT(*found->ci_high, *found->seq);
    EXPECT_LT(found->ratio_at_min, 1);
    EXPECT_GT(found->ratio_at_max, 1);
  }
}

TEST(Crossover, NoneInRangeComesWithTheRatios) {
  Random random(2);
  const Law twice = [](double n) { return 2 * quadratic(n); };
  const auto found = find_crossover(measured(quadratic, twice, 0.01, 0, 9, random), 0, 1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->verdict, CrossoverVerdict::none_in_range);
  EXPECT_FALSE(found->seq);
  EXPECT_FALSE(found->ci_low);
  EXPECT_EQ(found->b, 0u) << "the faster one";
  EXPECT_NEAR(found->ratio_at_min, 2, 0.05);
  EXPECT_NEAR(found->ratio_at_max, 2, 0.05);
}

TEST(Crossover, EqualSeriesAreNeverSureToCross) {
  Random random(3);
  int sure = 0;
  for (int i = 0; i < 40; ++i) {
    const auto found = find_crossover(measured(quadratic, quadratic, 0.02, 0, 0, random), 0, 1,
                                      {.replicates = 200});
    sure += found->verdict == CrossoverVerdict::crossover;
  }
  EXPECT_LE(sure, 4);
}

TEST(Crossover, NeedsTwoCommonLengths) {
  const std::vector<Record> rows{row("a", 256, 1e-3), row("a", 512, 2e-3), row("b", 512, 1e-3),
                                 row("b", 1024, 2e-3)};
  EXPECT_FALSE(find_crossover(group_series(rows), 0, 1));
}

TEST(Crossover, PairsOnlyWithinAProblemAndThreadCount) {
  std::vector<Record> rows;
  for (const std::int64_t n : {256, 512}) {
    for (const int threads : {1, 2}) {
      rows.push_back(row("a", n, 1e-3, threads));
      rows.push_back(row("b", n, 2e-3, threads));
    }
    rows.push_back(row("c", n, 1e-3));
    rows.back().axes.causal = true;
  }
  const auto all = find_crossovers(group_series(rows));
  ASSERT_EQ(all.size(), 2u) << "a and b at each thread count; c is another problem";
}

// Stated threshold: 90% of the nominal 95% intervals hold the true crossing, with samples and with
// intervals only, also when the machine disturbs both variants alike.
TEST(CrossoverSimulation, IntervalsCover) {
  constexpr int kTrials = 150;
  const struct {
    double noise, shared;
    int rounds;
  } kinds[]{{0.01, 0, 0}, {0.03, 0, 0}, {0.02, 0, 7}, {0.02, 0.05, 12}, {0.05, 0, 25}};
  for (const auto& kind : kinds) {
    Random random(41);
    int covered = 0, sure = 0;
    for (int i = 0; i < kTrials; ++i) {
      const double truth = std::exp(random.uniform(std::log(600), std::log(4000)));
      const auto found = find_crossover(measured(quadratic, linear_crossing_at(truth), kind.noise,
                                                 kind.shared, kind.rounds, random),
                                        0, 1, {.replicates = 200});
      ASSERT_TRUE(found);
      sure += found->verdict == CrossoverVerdict::crossover;
      covered += found->ci_low && *found->ci_low <= truth && truth <= *found->ci_high;
    }
    EXPECT_GE(covered, 0.90 * kTrials) << kind.noise << " in " << kind.rounds << " rounds";
    EXPECT_GE(sure, 0.85 * kTrials) << kind.noise << " in " << kind.rounds << " rounds";
  }
}

// What shared disturbances would do to intervals from each series' own spread: rounds drawn
// together give narrower ones.
TEST(CrossoverSimulation, RoundsAreDrawnTogether) {
  Random random(42);
  const auto series = measured(quadratic, linear_crossing_at(1500), 0.003, 0.10, 15, random);
  auto unpaired = series;
  for (Series& each : unpaired) {
    for (SeriesPoint& point : each.points) {
      point.rounds.clear();
      point.time.log_sd = 0.10 * 1.25 / std::sqrt(15.0);
    }
  }
  const auto paired = find_crossover(series, 0, 1), apart = find_crossover(unpaired, 0, 1);
  EXPECT_LT(std::log(*paired->ci_high / *paired->ci_low),
            0.5 * std::log(*apart->ci_high / *apart->ci_low));
}

}  // namespace
}  // namespace attnbench::analyse
