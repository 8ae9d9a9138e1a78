#include "analyse/compare_stats.h"

#include <gtest/gtest.h>

#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/trigamma.hpp>
#include <cmath>

#include "analyse/moderated_variance.h"
#include "analyse/random.h"

namespace attnbench::analyse {
namespace {

/// How stored runs of the same code differ.
struct Spread {
  double run = 0;       ///< Standard deviation of what all cells of a run share.
  double group = 0;     ///< Of what the cells of one of four groups share.
  double cell = 0.01;   ///< Of a cell alone, typically;
  double uneven = 0.4;  ///< of its logarithm between cells.
};

constexpr std::size_t kCells = 24;

/// `base_runs` runs and a head that is slower by `slowdown` in its first `slower` cells.
std::vector<LogTimes> simulate(std::size_t base_runs, const Spread& spread, double slowdown,
                               std::size_t slower, Random& random, std::size_t cells = kCells) {
  std::vector<LogTimes> out(cells);
  std::vector<double> sd;
  for (std::size_t i = 0; i < cells; ++i) {
    sd.push_back(spread.cell * std::exp(spread.uneven * random.normal()));
  }
  for (std::size_t k = 0; k <= base_runs; ++k) {
    const double run = spread.run * random.normal();
    double groups[4];
    for (double& group : groups) group = spread.group * random.normal();
    for (std::size_t i = 0; i < cells; ++i) {
      const double value =
          -6.0 - static_cast<double>(i) / 10 + run + groups[i % 4] + sd[i] * random.normal();
      if (k < base_runs) {
        out[i].base.emplace_back(value);
      } else {
        out[i].head.push_back(value + (i < slower ? std::log1p(slowdown) : 0));
      }
    }
  }
  return out;
}

bool any_slower(const Predictions& found) {
  for (const auto& cell : found.cells) {
    if (cell && cell->slower) return true;
  }
  return false;
}

// Every cell at exactly the margin: the worst case of the hypothesis that must not be rejected. The
// cells' share of alpha is 0.8%; 2000 simulations allow 1.7% before they contradict 1%.
TEST(PredictCells, RaisesNoMoreFalseAlarmsThanItSays) {
  const Spread spreads[]{{0, 0, 0.01, 0.4}, {0.02, 0, 0.005, 0.4}, {0.002, 0.008, 0.005, 0.6}};
  constexpr int kSimulations = 2000;
  for (const std::size_t base_runs : {3u, 5u}) {
    for (const Spread& spread : spreads) {
      Random random(7);
      int alarms = 0, mean_alarms = 0;
      for (int i = 0; i < kSimulations; ++i) {
        const auto cells = simulate(base_runs, spread, 0.03, kCells, random);
        alarms += any_slower(predict_cells(cells, {})) ? 1 : 0;
      }
      for (int i = 0; i < kSimulations / 2; ++i) {
        const auto cells = simulate(base_runs, spread, 0.01, kCells, random);
        mean_alarms += predict_cells(cells, {}).mean->slower ? 1 : 0;
      }
      EXPECT_LE(alarms, 0.017 * kSimulations) << base_runs << " runs, " << spread.run;
      EXPECT_LE(mean_alarms, 0.006 * kSimulations / 2) << base_runs << " runs, " << spread.run;
    }
  }
}

// The same test with the spread of each cell taken alone as if it were known would not hold: the
// simulation must be able to say no.
TEST(PredictCells, TheSimulationFindsATestThatIsTooSharp) {
  Random random(7);
  int alarms = 0;
  for (int i = 0; i < 500; ++i) {
    bool any = false;
    for (const LogTimes& cell : simulate(3, {}, 0.03, kCells, random)) {
      double mean = 0, squares = 0;
      for (const auto& value : cell.base) mean += *value / 3;
      for (const auto& value : cell.base) squares += std::pow(*value - mean, 2) / 2;
      const double z = (cell.head[0] - mean - std::log1p(0.03)) / std::sqrt(squares * 4 / 3);
      any = any || z > 3.4;  // Normal at 0.8% / 24.
    }
    alarms += any ? 1 : 0;
  }
  EXPECT_GT(alarms, 0.1 * 500);
}

TEST(PredictCells, FindsTheSlowdownThatItPrintsNineTimesInTen) {
  for (const std::size_t base_runs : {5u, 10u}) {
    Random random(11);
    int found = 0;
    constexpr int kSimulations = 600;
    for (int i = 0; i < kSimulations; ++i) {
      auto cells = simulate(base_runs, {0.003, 0, 0.01, 0}, 0, 0, random);
      const double shift = predict_cells(cells, {}).cells[0]->detectable;
      cells[0].head[0] += shift;
      found += predict_cells(cells, {}).cells[0]->slower ? 1 : 0;
    }
    EXPECT_NEAR(found, 0.9 * kSimulations, 0.06 * kSimulations) << base_runs;
  }
}

TEST(PredictCells, PassesWhatDidNotChangeAndFindsWhatDid) {
  Random random(3);
  int passed = 0, found = 0, mean_found = 0;
  constexpr int kSimulations = 300;
  for (int i = 0; i < kSimulations; ++i) {
    const auto same = predict_cells(simulate(5, {0.002, 0, 0.006, 0.3}, 0.1, 1, random), {});
    found += same.cells[0]->slower ? 1 : 0;
    passed += same.cells[5]->within_bound && !same.cells[5]->slower ? 1 : 0;
    const auto all = predict_cells(simulate(10, {0.002, 0, 0.006, 0.3}, 0.025, kCells, random), {});
    mean_found += all.mean->slower ? 1 : 0;
  }
  EXPECT_GT(found, 0.95 * kSimulations);
  EXPECT_GT(passed, 0.95 * kSimulations);
  EXPECT_GT(mean_found, 0.9 * kSimulations);
}

TEST(PredictCells, SpeedUpsAreFasterAndNeverSlower) {
  Random random(5);
  const auto found = predict_cells(simulate(5, {}, -0.3, 1, random), {});
  EXPECT_TRUE(found.cells[0]->faster);
  EXPECT_FALSE(found.cells[0]->slower);
  EXPECT_TRUE(found.cells[0]->within_bound);
}

// One cell and no run effect known apart: the textbook prediction.
TEST(PredictCells, OneCellIsStudentsPrediction) {
  LogTimes cell;
  for (const double value : {1.0, 1.02, 0.98, 1.01}) cell.base.emplace_back(value);
  cell.head = {1.05};
  const auto found = predict_cells(std::vector{cell}, {});
  const double sd = std::sqrt(
      (std::pow(-0.0025, 2) + std::pow(0.0175, 2) + std::pow(-0.0225, 2) + std::pow(0.0075, 2)) /
      3 * (1 + 0.25));
  ASSERT_TRUE(found.cells[0]);
  EXPECT_NEAR(found.cells[0]->estimate, 0.0475, 1e-12);
  EXPECT_NEAR(found.cells[0]->sd, sd, 1e-12);
  EXPECT_NEAR(found.cells[0]->degrees, 3, 1e-9);
  const boost::math::students_t_distribution<double> student(3);
  EXPECT_NEAR(found.cells[0]->upper, 0.0475 + boost::math::quantile(student, 0.95) * sd, 1e-9);
  EXPECT_FALSE(found.mean);
}

TEST(PredictCells, TooFewRunsAreNotPredicted) {
  Random random(1);
  auto cells = simulate(3, {}, 0, 0, random);
  cells[4].base[1].reset();
  cells[5].head.clear();
  const auto found = predict_cells(cells, {});
  EXPECT_FALSE(found.cells[4]);
  EXPECT_FALSE(found.cells[5]);
  EXPECT_TRUE(found.cells[6]);
  for (const auto& cell : predict_cells(simulate(2, {}, 0, 0, random), {}).cells) {
    EXPECT_FALSE(cell);
  }
  EXPECT_TRUE(predict_cells({}, {}).cells.empty());
}

TEST(PredictCells, EqualTimesGiveADefinedAnswer) {
  std::vector<LogTimes> cells(3);
  for (LogTimes& cell : cells) {
    cell.base.assign(3, -5.0);
    cell.head = {-5.0};
  }
  cells[2].head = {-5.0 + std::log1p(0.04)};
  const auto found = predict_cells(cells, {});
  EXPECT_TRUE(found.cells[0]->within_bound);
  EXPECT_FALSE(found.cells[0]->slower);
  EXPECT_TRUE(found.cells[2]->slower);
  for (const auto& cell : found.cells) EXPECT_TRUE(std::isfinite(cell->high));
}

// Runs that happen to agree cannot make a noisy median sharp.
TEST(PredictCells, NoiseWithinTheRunsIsALowerBound) {
  std::vector<LogTimes> cells(3);
  for (LogTimes& cell : cells) {
    cell.base.assign(5, -5.0);
    cell.head = {-5.0 + std::log1p(0.06)};
    cell.base_sd = cell.head_sd = 0.05;
  }
  const auto found = predict_cells(cells, {});
  EXPECT_FALSE(found.cells[0]->slower);
  EXPECT_FALSE(found.cells[0]->within_bound);
  EXPECT_NEAR(found.cells[0]->sd, 0.05 * std::sqrt(1.2), 1e-12);
}

TEST(InverseTrigamma, Inverts) {
  for (const double y : {0.01, 0.5, 1.0, 7.0, 300.0}) {
    EXPECT_NEAR(inverse_trigamma(boost::math::trigamma(y)) / y, 1, 1e-6) << y;
  }
}

TEST(ModeratedVariances, EqualOnesArePooledAndUnequalOnesAreNot) {
  // Sample variances that scatter as chi-square of 4 degrees does, then ones that scatter more.
  Random random(2);
  std::vector<double> alike, apart;
  for (int i = 0; i < 200; ++i) {
    double squares = 0;
    for (int k = 0; k < 4; ++k) squares += std::pow(random.normal(), 2) / 4;
    alike.push_back(squares);
    apart.push_back(squares * std::exp(3 * random.normal()));
  }
  const auto pooled = moderated_variances(alike, 4, 1000);
  EXPECT_GT(pooled[0].degrees, 40);
  EXPECT_NEAR(pooled[0].value, 1, 0.25);
  const auto own = moderated_variances(apart, 4, 1000);
  EXPECT_LT(own[0].degrees, 6);
  EXPECT_NEAR(own[0].value / apart[0], 1, 0.8);
  EXPECT_EQ(moderated_variances(alike, 4, 8)[0].degrees, 12);
}

TEST(ModeratedVariances, ZerosAndFewValues) {
  const auto zeros = moderated_variances(std::vector<double>(5, 0.0), 2, 4);
  EXPECT_EQ(zeros[3].value, 0);
  EXPECT_EQ(zeros[3].degrees, 2);
  const auto some = moderated_variances(std::vector<double>{0, 1, 2, 3}, 2, 4);
  EXPECT_GT(some[0].value, 0);
  const auto two = moderated_variances(std::vector<double>{1, 4}, 2, 4);
  EXPECT_EQ(two[1].value, 4);
}

}  // namespace
}  // namespace attnbench::analyse
