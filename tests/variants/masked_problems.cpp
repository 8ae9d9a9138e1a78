#include "masked_problems.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "attention/inputs.h"
#include "attention/npy.h"
#include "attention/score_terms.h"

namespace attnbench::testing {
namespace {

using Indices = std::function<void(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)>;

void for_each_index(const std::vector<std::int64_t>& shape, const Indices& use) {
  for (std::int64_t b = 0; b < shape[0]; ++b) {
    for (std::int64_t h = 0; h < shape[1]; ++h) {
      for (std::int64_t i = 0; i < shape[2]; ++i) {
        for (std::int64_t j = 0; j < shape[3]; ++j) use(b, h, i, j);
      }
    }
  }
}

std::shared_ptr<const AttentionMask> checked(const NpyArray& array) {
  auto mask = AttentionMask::from_array(array, "test.npy");
  EXPECT_TRUE(mask) << (mask ? "" : mask.error().message);
  return *mask;
}

Problem masked(std::vector<std::int64_t> sizes, bool causal, std::vector<std::int64_t> mask_shape,
               bool additive) {
  Problem p;
  p.batch = sizes[0];
  p.heads_q = sizes[1];
  p.heads_kv = sizes[2];
  p.seq_q = sizes[3];
  p.seq_k = sizes[4];
  p.dim_qk = sizes[5];
  p.dim_v = sizes[6];
  p.causal = causal;
  p.mode = p.seq_q == p.seq_k ? Mode::self : Mode::cross;
  p.mask = drawn_mask(mask_shape, additive);
  EXPECT_TRUE(validate(p));
  return p;
}

}  // namespace

std::shared_ptr<const AttentionMask> boolean_mask(
    const std::vector<std::int64_t>& shape,
    const std::function<bool(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>& read) {
  NpyArray array{shape, "|b1", true, {}, {}};
  for_each_index(shape, [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    array.ints.push_back(read(b, h, i, j) ? 1 : 0);
  });
  return checked(array);
}

std::shared_ptr<const AttentionMask> additive_mask(
    const std::vector<std::int64_t>& shape,
    const std::function<double(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>& value) {
  NpyArray array{shape, "<f4", false, {}, {}};
  for_each_index(shape, [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    array.values.push_back(static_cast<float>(value(b, h, i, j)));
  });
  return checked(array);
}

std::shared_ptr<const AttentionMask> drawn_mask(const std::vector<std::int64_t>& shape,
                                                bool additive) {
  const CounterRng rng(5, "mask of a test");
  // Rectangles of 40 queries and 70 keys: left out, whole, or every other key; neither size is one
  // of the engines' blocks.
  const auto kind = [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    return rng.bits(static_cast<std::uint64_t>(b * 1009 + h * 131 + i / 40 * 17 + j / 70)) % 3;
  };
  const auto bits = [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    return rng.bits(static_cast<std::uint64_t>(((b * 8 + h) * 1000 + i) * 1000 + j) + 100000);
  };
  const auto reads = [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    if (shape[2] > 1 && i % 17 == 3) return false;
    return kind(b, h, i, j) == 1 || (kind(b, h, i, j) == 2 && bits(b, h, i, j) % 2 == 0);
  };
  if (!additive) return boolean_mask(shape, reads);
  return additive_mask(shape, [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    if (!reads(b, h, i, j)) return -INFINITY * 1.0;
    if (kind(b, h, i, j) == 1) return 0.0;
    return static_cast<double>(bits(b, h, i, j) % 1000) / 125 - 4;
  });
}

const std::vector<Problem>& masked_grid() {
  static const std::vector<Problem> grid = [] {
    std::vector<Problem> problems;
    for (bool causal : {false, true}) {
      problems.push_back(masked({2, 6, 2, 100, 100, 24, 40}, causal, {1, 6, 100, 100}, true));
      problems.push_back(masked({1, 2, 2, 257, 257, 32, 32}, causal, {1, 1, 257, 257}, false));
      problems.push_back(masked({2, 3, 1, 1, 700, 32, 32}, causal, {2, 3, 1, 700}, true));
      problems.push_back(masked({2, 2, 1, 33, 200, 16, 16}, causal, {2, 1, 1, 200}, false));
      problems.push_back(masked({2, 4, 2, 90, 90, 32, 20}, causal, {2, 4, 90, 90}, false));
      problems.back().layout = Layout::bnhd;
      problems.push_back(masked({2, 2, 2, 70, 70, 32, 32}, causal, {2, 1, 70, 70}, true));
      problems.back().key_lengths = {70, 41};
    }
    return problems;
  }();
  return grid;
}

namespace {

/// Blocks of 24 x 24 pairs.
std::shared_ptr<const AttentionMask> drawn_blocks(std::int64_t seq_q, std::int64_t seq_k) {
  const std::int64_t rows = (seq_q + 23) / 24, columns = (seq_k + 23) / 24;
  const CounterRng rng(6, "blocks of a test");
  NpyArray array{{rows, columns}, "|u1", true, {}, {}};
  for (std::int64_t at = 0; at < rows * columns; ++at) {
    array.ints.push_back(rng.bits(static_cast<std::uint64_t>(at)) % 2 == 0 ? 1 : 0);
  }
  auto mask = AttentionMask::from_blocks(array, "blocks.npy", 24);
  EXPECT_TRUE(mask) << (mask ? "" : mask.error().message);
  return *mask;
}

Problem scored(Problem problem, Position position, std::optional<double> softcap, bool sink) {
  problem.position = position;
  problem.softcap = softcap;
  if (sink) problem.sink = draw_sink(problem.heads_q, 9);
  EXPECT_TRUE(validate(problem));
  return problem;
}

}  // namespace

const std::vector<Problem>& crossed_grid() {
  static const std::vector<Problem> grid = [] {
    std::vector<Problem> problems;
    for (bool causal : {false, true}) {
      Problem padded = masked({2, 6, 2, 70, 70, 16, 12}, causal, {1, 6, 70, 70}, false);
      padded.key_lengths = {70, 41};
      problems.push_back(scored(padded, Position::rope, 2.0, true));
      problems.push_back(scored(padded, Position::alibi, {}, true));
      Problem blocks = masked({1, 4, 2, 45, 150, 16, 16}, causal, {1, 1, 45, 150}, false);
      blocks.mask = drawn_blocks(45, 150);
      problems.push_back(scored(blocks, Position::alibi, 2.0, true));
      problems.push_back(scored(masked({1, 3, 1, 66, 66, 16, 20}, causal, {1, 3, 66, 66}, true),
                                Position::alibi, 3.0, true));
      problems.push_back(scored(masked({2, 3, 1, 1, 300, 16, 16}, causal, {2, 3, 1, 300}, true),
                                Position::sinusoidal, 2.0, true));
      problems.push_back(scored(masked({1, 2, 2, 70, 70, 16, 16}, causal, {1, 1, 1, 70}, false),
                                Position::none, 1.5, true));
      problems.back().layout = Layout::bnhd;
    }
    return problems;
  }();
  return grid;
}

}  // namespace attnbench::testing
