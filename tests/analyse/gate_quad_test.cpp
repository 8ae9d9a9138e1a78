#include "analyse/gate_quad.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace attnbench::analyse {
namespace {

/// Four samples of builds that differ by `slowdown`, on a machine whose log time drifts linearly.
Quad drifting(bool base_first, double slowdown, double drift_per_sample) {
  Quad quad;
  quad.base_first = base_first;
  for (std::size_t i = 0; i < 4; ++i) {
    const bool base = (i == 0 || i == 3) == base_first;
    quad.seconds[i] = 1e-3 * std::exp((base ? 0 : slowdown) + drift_per_sample * double(i));
  }
  return quad;
}

TEST(Quad, LinearDriftCancelsInQuadsAndNotInPlainPairs) {
  for (const bool base_first : {true, false}) {
    const Quad quad = drifting(base_first, 0.02, 0.1);
    EXPECT_NEAR(*quad_value(quad), 0.02, 1e-12);
    const double first = std::log(quad.seconds[0]), second = std::log(quad.seconds[1]);
    const double pair = base_first ? second - first : first - second;
    EXPECT_GT(std::abs(pair - 0.02), 0.09);
  }
}

TEST(Quad, MeansOfTheSidesMatchItsValue) {
  for (const bool base_first : {true, false}) {
    Quad quad = drifting(base_first, 0.05, 0.01);
    EXPECT_NEAR(std::log(quad.head_s() / quad.base_s()), *quad_value(quad), 1e-12);
  }
}

TEST(Quad, ALaunchIsTheMeanOfItsQuadsOrTheMedianOfMany) {
  std::vector<Quad> quads;
  for (const double slowdown : {0.01, 0.03}) quads.push_back(drifting(true, slowdown, 0));
  EXPECT_NEAR(*launch_value(quads), 0.02, 1e-12);
  for (const double slowdown : {0.02, 0.9}) quads.push_back(drifting(false, slowdown, 0));
  EXPECT_NEAR(*launch_value(quads), 0.025, 1e-12);
}

TEST(Quad, WhatIsNoTimeGivesNoValue) {
  EXPECT_FALSE(launch_value({}));
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    std::vector<Quad> quads(2, drifting(true, 0, 0));
    EXPECT_TRUE(launch_value(quads));
    quads[1].seconds[2] = bad;
    EXPECT_FALSE(quad_value(quads[1])) << bad;
    EXPECT_FALSE(launch_value(quads)) << bad;
  }
}

}  // namespace
}  // namespace attnbench::analyse
