// Masks from .npy files: what is accepted, and the summary that engines skip blocks by.
#include "attention/mask.h"

#include <gtest/gtest.h>

#include <cmath>

#include "attention/problem.h"

namespace attnbench {
namespace {

NpyArray booleans(std::vector<std::int64_t> shape, const std::string& text) {
  NpyArray array{std::move(shape), "|b1", true, {}, {}};
  for (char c : text) array.ints.push_back(c == '1' ? 1 : 0);
  return array;
}

NpyArray floats(std::vector<std::int64_t> shape, std::vector<float> values) {
  return {std::move(shape), "<f4", false, std::move(values), {}};
}

std::string refusal_of(const NpyArray& array) {
  const auto mask = AttentionMask::from_array(array, "m.npy");
  return mask ? "accepted" : mask.error().message;
}

TEST(AttentionMask, HoldsWhatTheFileSays) {
  const auto mask = AttentionMask::from_array(booleans({2, 3}, "101010"), "folder/m.npy");
  ASSERT_TRUE(mask);
  EXPECT_EQ((*mask)->shape_text(), "[1, 1, 2, 3]");
  EXPECT_EQ((*mask)->name().substr(0, 6), "m.npy@");
  EXPECT_TRUE((*mask)->allows(0, 0, 0, 0));
  EXPECT_FALSE((*mask)->allows(0, 0, 0, 1));
  EXPECT_TRUE((*mask)->allows(1, 5, 1, 1));  // One plane stands for all.
  EXPECT_EQ((*mask)->count(0, 0, 0, 3), 2);
  EXPECT_EQ((*mask)->count(0, 0, 0, 2), 1);
  EXPECT_EQ((*mask)->value(0, 0, 0, 0), 0);
  NpyArray bytes = booleans({2, 3}, "101010");
  bytes.dtype = "|u1";
  const auto same = AttentionMask::from_array(bytes, "m.npy");
  ASSERT_TRUE(same);
  EXPECT_EQ((*same)->name(), (*mask)->name());
  const auto other = AttentionMask::from_array(booleans({2, 3}, "101011"), "m.npy");
  ASSERT_TRUE(other);
  EXPECT_NE((*other)->name(), (*mask)->name());
}

TEST(AttentionMask, KeepsAdditiveValues) {
  const auto mask = AttentionMask::from_array(
      floats({2, 1, 1, 3}, {0.5F, -INFINITY, 0, -2, 3e38F, -3.4e38F}), "m.npy");
  ASSERT_TRUE(mask);
  EXPECT_TRUE((*mask)->is_additive());
  EXPECT_FALSE((*mask)->allows(0, 1, 2, 1));
  EXPECT_EQ((*mask)->value(0, 1, 2, 0), 0.5F);
  EXPECT_EQ((*mask)->value(1, 0, 0, 0), -2);
  EXPECT_EQ((*mask)->value(1, 0, 0, 1), AttentionMask::kLargestValue);
  EXPECT_EQ((*mask)->value(1, 0, 0, 2), -AttentionMask::kLargestValue);
}

TEST(AttentionMask, RefusesWhatIsNoMask) {
  const std::string accepted =
      "accepted are masks [Nq, Nk], [H, Nq, Nk] or [B, H, Nq, Nk] of bool or uint8 (1: the query "
      "reads the key) or of floats (added to the logits)";
  EXPECT_EQ(refusal_of(booleans({3}, "101")), "m.npy: holds [3] '|b1'; " + accepted);
  EXPECT_EQ(refusal_of(booleans({1, 1, 1, 1, 3}, "101")),
            "m.npy: holds [1, 1, 1, 1, 3] '|b1'; " + accepted);
  EXPECT_EQ(refusal_of(booleans({0, 3}, "")), "m.npy: holds [0, 3] '|b1'; " + accepted);
  NpyArray integers = booleans({1, 3}, "101");
  integers.dtype = "<i8";
  EXPECT_EQ(refusal_of(integers), "m.npy: holds [1, 3] '<i8'; " + accepted);
  integers.dtype = "|u1";
  integers.ints[2] = 255;
  EXPECT_EQ(refusal_of(integers), "m.npy: element [0, 2] is 255; accepted are 0 and 1");
  EXPECT_EQ(refusal_of(floats({1, 2}, {0, NAN})),
            "m.npy: element [0, 1] is nan; accepted are finite values and -inf");
  EXPECT_EQ(refusal_of(floats({1, 2}, {INFINITY, 0})),
            "m.npy: element [0, 0] is inf; accepted are finite values and -inf");
  EXPECT_EQ(refusal_of(floats({1, 2}, {-INFINITY, 0})), "accepted");
}

TEST(AttentionMask, SummarisesBlocks) {
  NpyArray array{{40, 200}, "|b1", true, {}, {}};
  for (int i = 0; i < 40; ++i) {
    // Keys 64 to 127 for none, 128 to 191 for the first 16 queries alone, the rest for all.
    for (int j = 0; j < 200; ++j) array.ints.push_back(j / 64 == 1 ? 0 : j / 64 == 2 ? i < 16 : 1);
  }
  const auto made = AttentionMask::from_array(array, "m.npy");
  ASSERT_TRUE(made);
  const AttentionMask& mask = **made;
  using Block = AttentionMask::Block;
  EXPECT_EQ(mask.summary(0, 0, 0, 39, 0), Block::plain);
  EXPECT_EQ(mask.summary(0, 0, 0, 39, 1), Block::none);
  EXPECT_EQ(mask.summary(0, 0, 0, 15, 2), Block::plain);
  EXPECT_EQ(mask.summary(0, 0, 10, 20, 2), Block::mixed);
  EXPECT_EQ(mask.summary(0, 0, 20, 39, 2), Block::none);
  EXPECT_EQ(mask.summary(0, 0, 0, 39, 3), Block::plain);  // Cut short by the last key.
}

TEST(AttentionMask, HasToFitTheProblem) {
  Problem p;
  p.batch = 2;
  p.heads_q = p.heads_kv = 2;
  p.seq_q = 2;
  p.seq_k = 3;
  p.dim_qk = p.dim_v = 4;
  const auto fits = [&](std::vector<std::int64_t> shape) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    p.mask = *AttentionMask::from_array(booleans(shape, std::string(count, '1')), "m.npy");
    return validate(p);
  };
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{
           {2, 3}, {1, 3}, {2, 2, 3}, {1, 2, 3}, {2, 1, 1, 3}, {2, 2, 2, 3}, {1, 2, 1, 3}}) {
    EXPECT_TRUE(fits(shape));
  }
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{
           {3, 2}, {2, 1}, {3, 2, 3}, {3, 1, 2, 3}, {2, 2, 2, 4}}) {
    EXPECT_FALSE(fits(shape));
  }
  const Status wrong = fits({3, 2});
  EXPECT_NE(
      wrong.error().message.find(
          " is [1, 1, 3, 2]; accepted are [B, H, Nq, Nk] = [2, 2, 2, 3] with B, H or Nq also 1"),
      std::string::npos)
      << wrong.error().message;
}

TEST(AttentionMask, OfBlocksHoldsForAllTheirPairs) {
  const auto made = AttentionMask::from_blocks(booleans({2, 3}, "101010"), "m.npy", 50);
  ASSERT_TRUE(made);
  const AttentionMask& mask = **made;
  EXPECT_EQ(mask.shape_text(), "[1, 1, 100, 150]");
  for (std::int64_t i = 0; i < 100; ++i) {
    for (std::int64_t j = 0; j < 150; ++j) {
      ASSERT_EQ(mask.allows(0, 0, i, j), (i / 50 + j / 50) % 2 == 0) << i << " " << j;
    }
  }
  EXPECT_EQ(mask.count(0, 0, 0, 120), 70);
  EXPECT_EQ(mask.stored_bytes(), 6.0 / 8);
  EXPECT_EQ(mask.summary(0, 0, 64, 99, 1), AttentionMask::Block::mixed);
  EXPECT_EQ(mask.summary(0, 0, 0, 15, 0), AttentionMask::Block::mixed);
  Problem p;
  p.heads_q = p.heads_kv = 1;
  p.seq_q = 51;
  p.seq_k = 101;
  p.mask = *made;
  EXPECT_TRUE(validate(p));
  p.seq_q = 50;
  const Status wrong = validate(p);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("is [1, 1, 100, 150], in blocks of 50; accepted are [B, H, "
                                       "Nq, Nk] = [1, 1, 50, 150] with B, H or Nq also 1"),
            std::string::npos)
      << wrong.error().message;
}

TEST(AttentionMask, OfBlocksMayHoldForAllQueries) {
  const auto made = AttentionMask::from_blocks(booleans({1, 2}, "01"), "m.npy", 64);
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->shape_text(), "[1, 1, 1, 128]");
  EXPECT_FALSE((*made)->allows(0, 0, 700, 63));
  EXPECT_TRUE((*made)->allows(0, 0, 700, 64));
  const auto other = AttentionMask::from_blocks(booleans({1, 2}, "01"), "m.npy", 32);
  ASSERT_TRUE(other);
  EXPECT_NE((*other)->name(), (*made)->name());
}

TEST(AttentionMask, OfBlocksIsNeverAdditive) {
  const auto refused = AttentionMask::from_blocks(floats({1, 2}, {0, 1}), "m.npy", 8);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "m.npy: holds '<f4'; accepted as a mask of blocks are bool and uint8");
}

TEST(AttentionMask, IsCountedInPairs) {
  Problem p;
  p.batch = 2;
  p.heads_q = p.heads_kv = 2;
  p.seq_q = p.seq_k = 3;
  EXPECT_EQ(allowed_pairs(p), 2 * 2 * 9);
  p.causal = true;
  EXPECT_EQ(allowed_pairs(p), 2 * 2 * 6);
  p.mask = *AttentionMask::from_array(booleans({2, 3, 3},
                                               "100011111"
                                               "111111111"),
                                      "m.npy");
  EXPECT_EQ(allowed_pairs(p), 2 * ((1 + 1 + 3) + 6));
  EXPECT_EQ(mask_text(p), p.mask->name());
  p.key_lengths = {2, 3};
  EXPECT_EQ(allowed_pairs(p), (1 + 1 + 2) + 5 + (1 + 1 + 3) + 6);
  EXPECT_EQ(mask_text(p), "key-lengths;" + p.mask->name());
}

}  // namespace
}  // namespace attnbench
