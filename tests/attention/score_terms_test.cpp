// Positions, soft cap and sink in float64: known values and identities.
#include "attention/score_terms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/inputs.h"
#include "attention/reference.h"

namespace attnbench {
namespace {

Problem small(Position position) {
  Problem p;
  p.heads_q = p.heads_kv = 2;
  p.seq_q = p.seq_k = 9;
  p.dim_qk = p.dim_v = 6;
  p.position = position;
  return p;
}

std::vector<double> attention(const Problem& p, const Inputs& inputs) {
  const auto rows = all_rows(p);
  return softmax_attention_rows(p, inputs, rows,
                                [&](std::int64_t b, std::int64_t, std::int64_t i, std::int64_t j) {
                                  return base_mask_allows(p, b, i, j);
                                });
}

double product(const std::vector<double>& a, const std::vector<double>& b) {
  return dot(a.data(), b.data(), static_cast<std::int64_t>(a.size()));
}

/// Section 3 of the paper: 1/2, 1/4 .. 1/256 for 8 heads, and 1/2^0.5, 1/2^1 .. 1/2^8 for 16.
TEST(AlibiSlope, IsThePapers) {
  for (int h = 0; h < 8; ++h) EXPECT_DOUBLE_EQ(alibi_slope(h, 8), std::exp2(-(h + 1)));
  for (int h = 0; h < 16; ++h) EXPECT_DOUBLE_EQ(alibi_slope(h, 16), std::exp2(-0.5 * (h + 1)));
  EXPECT_DOUBLE_EQ(alibi_slope(0, 1), 1.0 / 256);
}

/// 12 heads, as the authors' code has them: those of 8, then 2^-0.5, 2^-1.5, 2^-2.5, 2^-3.5.
TEST(AlibiSlope, OfAnotherNumberOfHeadsMixesTwoPowers) {
  EXPECT_DOUBLE_EQ(alibi_slope(7, 12), 1.0 / 256);
  for (int h = 8; h < 12; ++h) EXPECT_DOUBLE_EQ(alibi_slope(h, 12), std::exp2(-0.5 - (h - 8)));
}

TEST(RowPlacement, RotationKeepsLengthsAndTellsOnlyDistances) {
  const Problem p = small(Position::rope);
  const RowPlacement placement(p);
  const float q[] = {1, -2, 0.5F, 3, 0, 1}, k[] = {0.25F, 1, -1, 2, 1, -3};
  const double at_2_7 = product(placement.placed(q, 2), placement.placed(k, 7));
  const double at_102_107 = product(placement.placed(q, 102), placement.placed(k, 107));
  const double at_2_8 = product(placement.placed(q, 2), placement.placed(k, 8));
  EXPECT_NEAR(at_2_7, at_102_107, 1e-12);
  EXPECT_GT(std::abs(at_2_7 - at_2_8), 0.1);
  const std::vector<double> turned = placement.placed(q, -5);
  EXPECT_NEAR(product(turned, turned), dot(q, q, 6), 1e-12);
  // Pairs are halves: the first one is (x_0, x_3), turned by the position itself.
  const std::vector<double> one = placement.placed(q, 1);
  EXPECT_NEAR(one[0], 1 * std::cos(1.0) - 3 * std::sin(1.0), 1e-12);
  EXPECT_NEAR(one[3], 1 * std::sin(1.0) + 3 * std::cos(1.0), 1e-12);
}

/// The same rotation of neighbours: that of halves, with the columns in another order.
TEST(RowPlacement, InterleavedPairsAreNeighbours) {
  Problem p = small(Position::rope);
  p.rope.base = 100;
  const float halves[] = {1, -2, 0.5F, 3, 0, 1}, neighbours[] = {1, 3, -2, 0, 0.5F, 1};
  const std::vector<double> a = RowPlacement(p).placed(halves, 7);
  p.rope.interleaved = true;
  const std::vector<double> b = RowPlacement(p).placed(neighbours, 7);
  for (std::size_t m = 0; m < 3; ++m) {
    EXPECT_DOUBLE_EQ(b[2 * m], a[m]);
    EXPECT_DOUBLE_EQ(b[2 * m + 1], a[m + 3]);
  }
  // The last pair's angle is 7 * 100^(-2/3 * 2/2).
  const double angle = 7 * std::pow(100.0, -2.0 / 3);
  EXPECT_NEAR(b[2], -2 * std::cos(7 * std::pow(100.0, -1.0 / 3)), 1e-12);
  EXPECT_NEAR(b[4], 0.5 * std::cos(angle) - std::sin(angle), 1e-12);
}

TEST(RowPlacement, SinusoidalRowsAreAdded) {
  Problem p = small(Position::sinusoidal);
  p.dim_qk = 5;
  const float zero[5] = {};
  const std::vector<double> at_3 = RowPlacement(p).placed(zero, 3);
  const double angles[] = {3.0, 3.0 * std::pow(10000, -0.4), 3.0 * std::pow(10000, -0.8)};
  for (int d = 0; d < 5; ++d) {
    EXPECT_NEAR(at_3[static_cast<std::size_t>(d)],
                d % 2 == 0 ? std::sin(angles[d / 2]) : std::cos(angles[d / 2]), 1e-15);
  }
}

/// Two rows of queries ahead of the keys: both see distances, never absolute positions.
TEST(SoftmaxReference, RopeAndAlibiOfShiftedSequencesAgree) {
  for (const Position position : {Position::rope, Position::alibi}) {
    Problem p = small(position);
    p.causal = true;
    const InputTensors in = draw_inputs(p, "gaussian", 3);
    const auto all = attention(p, in.view());
    // The last 4 queries alone are at the same positions (i + Nk - Nq).
    Problem tail = p;
    tail.seq_q = 4;
    Tensor q({1, 2, 4, 6}, Layout::bhnd);
    for (std::int64_t h = 0; h < 2; ++h) {
      for (std::int64_t i = 0; i < 4; ++i) {
        std::copy_n(in.q.view().row(0, h, i + 5), 6, q.view().row(0, h, i));
      }
    }
    const auto last = attention(tail, {q.view(), in.k.view(), in.v.view()});
    for (std::size_t h = 0; h < 2; ++h) {
      for (std::size_t at = 0; at < 4 * 6; ++at) {
        EXPECT_NEAR(last[h * 24 + at], all[h * 54 + 30 + at], 1e-12);
      }
    }
  }
}

TEST(SoftmaxReference, AVeryHighSoftcapAndASinkOfMinusInfinityAreNone) {
  const Problem plain = small(Position::none);
  const InputTensors in = draw_inputs(plain, "gaussian", 3);
  const auto expected = attention(plain, in.view());
  Problem capped = plain, open = plain, low = plain;
  capped.softcap = 1e9;
  open.sink.assign(2, -std::numeric_limits<float>::infinity());
  low.softcap = 0.1;
  const auto with_cap = attention(capped, in.view()), with_sink = attention(open, in.view());
  const auto with_low = attention(low, in.view());
  double difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(with_cap[i], expected[i], 1e-12);
    EXPECT_DOUBLE_EQ(with_sink[i], expected[i]);
    difference = std::max(difference, std::abs(with_low[i] - expected[i]));
  }
  EXPECT_GT(difference, 0.01) << "a low cap must not be none";
}

/// A sink of 0 is a further key of zeros with a value of zeros.
TEST(SoftmaxReference, ASinkOfZeroIsAZeroKeyAndValue) {
  Problem p = small(Position::none);
  p.sink = {0, 0};
  const InputTensors in = draw_inputs(p, "gaussian", 3);
  Problem longer = p;
  longer.sink.clear();
  longer.seq_k = 10;
  Tensor k({1, 2, 10, 6}, Layout::bhnd), v({1, 2, 10, 6}, Layout::bhnd);
  std::ranges::fill(k.buffer().span(), 0.0F);
  std::ranges::fill(v.buffer().span(), 0.0F);
  for (std::int64_t h = 0; h < 2; ++h) {
    for (std::int64_t j = 0; j < 9; ++j) {
      std::copy_n(in.k.view().row(0, h, j), 6, k.view().row(0, h, j));
      std::copy_n(in.v.view().row(0, h, j), 6, v.view().row(0, h, j));
    }
  }
  const auto with_sink = attention(p, in.view()),
             with_key = attention(longer, {in.q.view(), k.view(), v.view()});
  for (std::size_t i = 0; i < with_key.size(); ++i) EXPECT_NEAR(with_sink[i], with_key[i], 1e-14);
}

TEST(Problem, RefusesScoresThatAreNotDefined) {
  Problem p = small(Position::rope);
  EXPECT_TRUE(validate(p));
  p.dim_qk = 5;
  EXPECT_NE(validate(p).error().message.find("dim 5 is odd"), std::string::npos);
  p = small(Position::none);
  for (const double cap : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    p.softcap = cap;
    EXPECT_FALSE(validate(p)) << cap;
  }
  p.softcap = 50;
  EXPECT_TRUE(validate(p));
  p.sink = {1};
  EXPECT_NE(validate(p).error().message.find("1 logits, heads is 2"), std::string::npos);
}

TEST(Problem, TellsSoftcapAndSinkAmongTheParameters) {
  Problem p = small(Position::alibi);
  EXPECT_EQ(p.params_text("left=4;tiles=1"), "left=4;tiles=1");
  p.softcap = 50;
  p.sink = {0, 0};
  EXPECT_EQ(p.params_text("left=4;tiles=1"), "left=4;sink=true;softcap=50;tiles=1");
  EXPECT_EQ(p.params_text(""), "sink=true;softcap=50");
}

TEST(Position, ParsesItsWords) {
  EXPECT_EQ(*parse_position("alibi"), Position::alibi);
  const auto other = parse_position("learned");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message,
            "position 'learned' is not one of none, sinusoidal, rope, alibi");
}

}  // namespace
}  // namespace attnbench
