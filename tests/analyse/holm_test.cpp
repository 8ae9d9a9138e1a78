#include "analyse/holm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "analyse/random.h"

namespace attnbench::analyse {
namespace {

/// Closed testing with Bonferroni for every intersection: a hypothesis is rejected when every
/// intersection that contains it is.
std::vector<bool> closed_testing(const std::vector<double>& p, double alpha) {
  const std::size_t count = p.size();
  std::vector<bool> rejected(count, true);
  for (std::size_t subset = 1; subset < std::size_t{1} << count; ++subset) {
    double smallest = 1;
    int size = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if ((subset >> i & 1) == 0) continue;
      smallest = std::min(smallest, p[i]);
      ++size;
    }
    if (smallest <= alpha / size) continue;
    for (std::size_t i = 0; i < count; ++i) {
      if ((subset >> i & 1) != 0) rejected[i] = false;
    }
  }
  return rejected;
}

TEST(Holm, AgreesWithBruteForceClosedTesting) {
  Random random(3);
  for (std::size_t count = 1; count <= 8; ++count) {
    for (int trial = 0; trial < 100; ++trial) {
      std::vector<double> p(count);
      for (double& value : p) value = std::pow(random.uniform(), 4);
      if (count > 2) p[1] = p[0];
      const auto decisions = holm(p, 0.05);
      const auto expected = closed_testing(p, 0.05);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(decisions[i].rejected, expected[i]);
    }
  }
}

TEST(Holm, AdjustedValuesAreMonotoneAndDecide) {
  Random random(4);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<double> p(6);
    for (double& value : p) value = std::pow(random.uniform(), 3);
    const auto decisions = holm(p, 0.05);
    for (std::size_t i = 0; i < p.size(); ++i) {
      EXPECT_GE(decisions[i].adjusted_p, p[i]);
      EXPECT_LE(decisions[i].adjusted_p, 1);
      EXPECT_EQ(decisions[i].rejected, decisions[i].adjusted_p <= 0.05);
      // A bound at this level is beyond the hypothesis exactly when it is rejected.
      EXPECT_EQ(decisions[i].rejected, p[i] <= decisions[i].level);
      for (std::size_t j = 0; j < p.size(); ++j) {
        EXPECT_TRUE(p[i] >= p[j] || decisions[i].adjusted_p <= decisions[j].adjusted_p);
      }
    }
  }
}

TEST(Holm, WhatIsNoNumberIsNeverRejected) {
  const auto decisions = holm(std::vector<double>{std::nan(""), 0.001}, 0.05);
  EXPECT_FALSE(decisions[0].rejected);
  EXPECT_TRUE(decisions[1].rejected);
  EXPECT_TRUE(holm({}, 0.05).empty());
}

}  // namespace
}  // namespace attnbench::analyse
