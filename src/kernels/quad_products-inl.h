// Products and softmax of four queries that read few keys, compiled once per instruction set.
//
// Vectors lie along the head dimension for scores, so that nothing is transposed, and along the
// values for outputs. A vector of scores and weights has a few keys of all four queries: one
// 128-bit block a key, scores[key][kQuadLanes].

#if defined(ATTNBENCH_KERNELS_QUAD_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_QUAD_PRODUCTS_INL_H_
#undef ATTNBENCH_KERNELS_QUAD_PRODUCTS_INL_H_
#else
#define ATTNBENCH_KERNELS_QUAD_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/block_sums-inl.h"
#include "kernels/column_softmax-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/in_register-inl.h"
#include "kernels/key_ranges.h"
#include "kernels/ranged_products-inl.h"
#include "kernels/upcoming.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys of a vector of scores, which are as many as a register tile has; and vectors of values in a
// register tile, in 32 registers or 16.
#if HWY_TARGET <= HWY_AVX3
constexpr int kQuadKeys = 4;
constexpr int kQuadVectors = 4;
#elif HWY_TARGET == HWY_AVX2
constexpr int kQuadKeys = 2;
constexpr int kQuadVectors = 2;
#else
constexpr int kQuadKeys = 1;
constexpr int kQuadVectors = 2;
#endif

/// Up to four lanes of a tile, from `lane` on. Missing ones repeat the last.
struct Quad {
  Quad(const float* const* q_rows, int first, int tile_lanes)
      : lane(first), lanes(std::min(kQuadLanes, tile_lanes - first)) {
    for (int i = 0; i < kQuadLanes; ++i) q[i] = q_rows[first + std::min(i, lanes - 1)];
  }
  int lane;
  int lanes;
  const float* q[kQuadLanes];
};

/// Rows of keys or values of which each of four queries has its own, from rows[lane] on.
struct QuadWindows {
  const float* rows[kQuadLanes];
  std::ptrdiff_t stride;
};

template <class Rows>
constexpr bool has_own_rows = std::is_same_v<Rows, QuadWindows>;

/// Where a lane's rows begin.
HWY_INLINE const float* rows_of_lane(const RowBlock& block, int) { return block.rows; }
HWY_INLINE const float* rows_of_lane(const QuadWindows& windows, int lane) {
  return windows.rows[lane];
}

/// What weights are multiplied with once the sums have counted them: those of a key, kQuadLanes for
/// each, and of the keys after it that fill a vector, begin `step` floats from those of the key
/// before it.
struct QuadTable {
  const float* first = nullptr;  ///< Null for nothing.
  std::ptrdiff_t step = 0;
};

/// Steps of quad_scores() and of quad_values() in which lines are asked for.
HWY_INLINE std::int64_t quad_steps(std::int64_t keys, std::int64_t dim_qk, std::int64_t dim_v) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  const std::int64_t vectors = (dim_v + lanes - 1) / lanes;
  return (keys + kQuadKeys - 1) / kQuadKeys * ((dim_qk + lanes - 1) / lanes) +
         keys * (vectors / kQuadVectors + vectors % kQuadVectors);
}

/// The lanes of four queries that read the keys of a vector, four bits a key, by mask words: of
/// keys beyond a quad's range none.
HWY_INLINE std::uint64_t quad_bits(const std::uint64_t* mask, int lane) {
  std::uint64_t bits = 0;
#pragma GCC unroll 4
  for (int i = 0; i < kQuadKeys; ++i) bits |= (mask[i] >> lane & 15U) << kQuadLanes * i;
  return bits;
}

#if HWY_TARGET != HWY_SCALAR

/// The halves of a added, and above them those of b.
template <class D, class V>
HWY_INLINE V sums_of_halves(D d, V a, V b) {
  return hn::Add(hn::ConcatUpperLower(d, b, a), hn::ConcatLowerUpper(d, b, a));
}

/// The sums of the lanes of v[key][lane], a block for each key.
template <class D, class V>
HWY_INLINE V quad_sums(D d, const V (&v)[1][kQuadLanes]) {
  return four_block_sums(d, v[0]);
}
template <class D, class V>
HWY_INLINE V quad_sums(D d, const V (&v)[2][kQuadLanes]) {
  V both[kQuadLanes];
#pragma GCC unroll 4
  for (int lane = 0; lane < kQuadLanes; ++lane)
    both[lane] = sums_of_halves(d, v[0][lane], v[1][lane]);
  return four_block_sums(d, both);
}
template <class D, class V>
HWY_INLINE V quad_sums(D d, const V (&v)[4][kQuadLanes]) {
  V all[kQuadLanes];
#pragma GCC unroll 4
  for (int lane = 0; lane < kQuadLanes; ++lane) {
    const V even = sums_of_halves(d, v[0][lane], v[2][lane]);
    const V odd = sums_of_halves(d, v[1][lane], v[3][lane]);
    all[lane] =
        hn::Add(hn::OddEvenBlocks(odd, even), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(even, odd)));
  }
  return four_block_sums(d, all);
}

/// Puts -infinity where the mask words, of the keys from the first on, let a lane not read a key,
/// and raises maximum[kQuadLanes].
HWY_INLINE void quad_mask(const std::uint64_t* mask, int lane, std::ptrdiff_t keys,
                          float* HWY_RESTRICT scores, float* HWY_RESTRICT maximum) {
  const hn::ScalableTag<float> d;
  const hn::FixedTag<float, kQuadLanes> d4;
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto largest = none;
  for (std::ptrdiff_t j = 0; j < keys; j += kQuadKeys) {
    const std::uint64_t bits = quad_bits(mask + j, lane);
    float* at = scores + j * kQuadLanes;
    const auto score = hn::IfThenElse(lanes_of(d, bits, 0), hn::Load(d, at), none);
    hn::Store(score, d, at);
    largest = hn::Max(largest, score);
  }
  hn::Store(hn::Max(hn::Load(d4, maximum), max_of_blocks(d, largest)), d4, maximum);
}

/// scores[j][lane] = scale * q[lane] . k[j], j below `keys` padded to kQuadKeys; keys of all lanes
/// (RowBlock) or of each (QuadWindows). With `mask`, what quad_mask() does as well.
template <class Rows, class Requests>
HWY_INLINE void quad_scores(const Quad& quad, const Rows& k, std::ptrdiff_t keys,
                            std::ptrdiff_t dim, float scale, const std::uint64_t* mask,
                            float* HWY_RESTRICT scores, float* HWY_RESTRICT maximum,
                            Requests& requests) {
  const hn::ScalableTag<float> d;
  const hn::FixedTag<float, kQuadLanes> d4;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t whole = dim / lanes * lanes;
  const float* const q[kQuadLanes] = {quad.q[0], quad.q[1], quad.q[2], quad.q[3]};
  const Vec none = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec largest = none;
  Requests local = requests;
  for (std::ptrdiff_t j = 0; j < keys; j += kQuadKeys) {
    // Beyond the last key it is taken again.
    std::ptrdiff_t row[kQuadKeys];
#pragma GCC unroll 4
    for (int i = 0; i < kQuadKeys; ++i) row[i] = std::min(j + i, keys - 1) * k.stride;
    Vec acc[kQuadKeys][kQuadLanes];
#pragma GCC unroll 4
    for (int i = 0; i < kQuadKeys; ++i) {
#pragma GCC unroll 4
      for (int lane = 0; lane < kQuadLanes; ++lane) acc[i][lane] = hn::Zero(d);
    }
    const auto multiply_add = [&](const auto& load, std::ptrdiff_t at) HWY_ATTR {
      Vec x[kQuadKeys];
#pragma GCC unroll 4
      for (int i = 0; i < kQuadKeys; ++i)
        x[i] = in_register(load(rows_of_lane(k, 0) + row[i] + at));
#pragma GCC unroll 4
      for (int lane = 0; lane < kQuadLanes; ++lane) {
        const Vec query = in_register(load(q[lane] + at));
#pragma GCC unroll 4
        for (int i = 0; i < kQuadKeys; ++i) {
          if constexpr (has_own_rows<Rows>) x[i] = load(rows_of_lane(k, lane) + row[i] + at);
          acc[i][lane] = hn::MulAdd(query, x[i], acc[i][lane]);
        }
      }
      local.step();
    };
    for (std::ptrdiff_t at = 0; at < whole; at += lanes) {
      multiply_add([&](const float* from) HWY_ATTR { return hn::LoadU(d, from); }, at);
    }
    if (whole < dim) {
      const auto tail = hn::FirstN(d, static_cast<std::size_t>(dim - whole));
      multiply_add([&](const float* from) HWY_ATTR { return hn::MaskedLoad(tail, d, from); },
                   whole);
    }
    Vec score = hn::Mul(hn::Set(d, scale), quad_sums(d, acc));
    if (mask != nullptr) {
      score = hn::IfThenElse(lanes_of(d, quad_bits(mask + j, quad.lane), 0), score, none);
      largest = hn::Max(largest, score);
    }
    hn::Store(score, d, scores + j * kQuadLanes);
  }
  requests = local;
  hn::Store(hn::Max(hn::Load(d4, maximum), max_of_blocks(d, largest)), d4, maximum);
}

/// Turns masked scores into weights and adds these to the sums, which first shrink to the new
/// maxima, by factor[lane].
HWY_INLINE void quad_weights(std::ptrdiff_t keys, const float* before, const float* maximum,
                             float* HWY_RESTRICT scores, float* HWY_RESTRICT sum,
                             float* HWY_RESTRICT factor, const QuadTable& table) {
  const hn::ScalableTag<float> d;
  const hn::FixedTag<float, kQuadLanes> d4;
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto shift = hn::LoadDup128(d, maximum);
  // A lane that has seen no key yet: (-inf) - (-inf) must not be formed.
  shift = hn::IfThenZeroElse(hn::Eq(shift, none), shift);
  auto total = hn::Zero(d);
  for (std::ptrdiff_t j = 0; j < keys; j += kQuadKeys) {
    float* at = scores + j * kQuadLanes;
    const auto p = exp2_nonpositive(d, hn::Sub(hn::Load(d, at), shift));
    total = hn::Add(total, p);
    hn::Store(table.first == nullptr ? p : hn::Mul(p, hn::LoadU(d, table.first + j * table.step)),
              d, at);
  }
  const auto none4 = hn::Set(d4, -std::numeric_limits<float>::infinity());
  const auto after = hn::Load(d4, maximum);
  const auto shrink = exp2_nonpositive(
      d4, hn::Sub(hn::Load(d4, before), hn::IfThenZeroElse(hn::Eq(after, none4), after)));
  hn::Store(shrink, d4, factor);
  hn::Store(hn::MulAdd(shrink, hn::Load(d4, sum), sum_of_blocks(d, total)), d4, sum);
}

#else  // A lane after the other, for instruction sets without vectors.

HWY_INLINE void quad_mask(const std::uint64_t* mask, int lane, std::ptrdiff_t keys, float* scores,
                          float* maximum) {
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    const std::uint64_t bits = quad_bits(mask + j, lane);
    for (int i = 0; i < kQuadLanes; ++i) {
      float& score = scores[j * kQuadLanes + i];
      if ((bits >> i & 1) == 0) score = -std::numeric_limits<float>::infinity();
      maximum[i] = std::max(maximum[i], score);
    }
  }
}

template <class Rows, class Requests>
HWY_INLINE void quad_scores(const Quad& quad, const Rows& k, std::ptrdiff_t keys,
                            std::ptrdiff_t dim, float scale, const std::uint64_t* mask,
                            float* scores, float* maximum, Requests&) {
  for (std::ptrdiff_t j = 0; j < keys; ++j) {
    for (int i = 0; i < kQuadLanes; ++i) {
      const float* row = rows_of_lane(k, i) + j * k.stride;
      float sum = 0;
      for (std::ptrdiff_t at = 0; at < dim; ++at) sum += quad.q[i][at] * row[at];
      scores[j * kQuadLanes + i] = scale * sum;
    }
  }
  if (mask != nullptr) quad_mask(mask, quad.lane, keys, scores, maximum);
}

HWY_INLINE void quad_weights(std::ptrdiff_t keys, const float* before, const float* maximum,
                             float* scores, float* sum, float* factor, const QuadTable& table) {
  const hn::ScalableTag<float> d;
  for (int i = 0; i < kQuadLanes; ++i) {
    const float shift = std::isinf(maximum[i]) ? 0 : maximum[i];
    const auto power = [&](float x) {
      return hn::GetLane(exp2_nonpositive(d, hn::Set(d, x - shift)));
    };
    factor[i] = power(before[i]);
    sum[i] *= factor[i];
    for (std::ptrdiff_t j = 0; j < keys; ++j) {
      float& score = scores[j * kQuadLanes + i];
      score = power(score);
      sum[i] += score;
      if (table.first != nullptr) score *= table.first[j * table.step + i];
    }
  }
}

#endif

/// Where nothing is asked for it is a function of its own, with registers for addresses to itself.
template <class Rows>
HWY_NOINLINE void quad_scores(const Quad& quad, const Rows& k, std::ptrdiff_t keys,
                              std::ptrdiff_t dim, float scale, const std::uint64_t* mask,
                              float* HWY_RESTRICT scores, float* HWY_RESTRICT maximum,
                              NoRequests& none) {
  quad_scores<Rows, NoRequests>(quad, k, keys, dim, scale, mask, scores, maximum, none);
}

/// Where the outputs of four queries go: rows[lane] = scale[lane] sum, and, with `keep`, that and
/// keep[lane] rows[lane].
struct QuadRows {
  float* const* rows;
  int lanes;
  const float* scale;
  const float* keep;  ///< Or null.
};

/// Lets change(row) change the logits of one lane, put together in `row`.
template <class Change>
HWY_INLINE void change_lane(int lane, std::ptrdiff_t keys, float* scores, float* row,
                            const Change& change) {
  for (std::ptrdiff_t j = 0; j < keys; ++j) row[j] = scores[j * kQuadLanes + lane];
  change(row);
  for (std::ptrdiff_t j = 0; j < keys; ++j) scores[j * kQuadLanes + lane] = row[j];
}

/// V vectors of the outputs, from `at` on, of which a single one may be partial: the sums of
/// weights[j][lane] v[j].
template <int V, bool add, bool partial, class Rows, class Requests>
HWY_INLINE void quad_value_vectors(const float* HWY_RESTRICT weights, const Rows& v,
                                   std::ptrdiff_t keys, std::ptrdiff_t at, std::ptrdiff_t dim,
                                   const QuadRows& out, Requests& requests) {
  static_assert(V == 1 || !partial);
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(partial ? dim - at : lanes));
  const auto load = [&](const float* from) HWY_ATTR {
    if constexpr (partial) {
      return hn::MaskedLoad(mask, d, from);
    } else {
      return hn::LoadU(d, from);
    }
  };
  Vec acc[kQuadLanes][V];
#pragma GCC unroll 4
  for (int lane = 0; lane < kQuadLanes; ++lane) {
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) acc[lane][i] = hn::Zero(d);
  }
  const float* first = rows_of_lane(v, 0) + at;
  Requests local = requests;
  for (std::ptrdiff_t j = 0; j < keys; ++j, first += v.stride) {
    local.step();
    Vec x[V];
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) x[i] = in_register(load(first + i * lanes));
#pragma GCC unroll 4
    for (int lane = 0; lane < kQuadLanes; ++lane) {
      if constexpr (has_own_rows<Rows>) {
        const float* own = first + (rows_of_lane(v, lane) - rows_of_lane(v, 0));
#pragma GCC unroll 4
        for (int i = 0; i < V; ++i) x[i] = load(own + i * lanes);
      }
      const Vec weight = in_register(hn::Set(d, weights[j * kQuadLanes + lane]));
#pragma GCC unroll 4
      for (int i = 0; i < V; ++i) acc[lane][i] = hn::MulAdd(weight, x[i], acc[lane][i]);
    }
  }
  requests = local;
#pragma GCC unroll 4
  for (int lane = 0; lane < kQuadLanes; ++lane) {
    if (lane >= out.lanes) break;
    const Vec scale = hn::Set(d, out.scale[lane]);
    float* to = out.rows[lane] + at;
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      Vec x = hn::Mul(scale, acc[lane][i]);
      if constexpr (add) {
        x = hn::MulAdd(hn::Set(d, out.keep[lane]), load(to + i * lanes), x);
      }
      if constexpr (partial) {
        hn::BlendedStore(x, mask, d, to + i * lanes);
      } else {
        hn::StoreU(x, d, to + i * lanes);
      }
    }
  }
}

/// The outputs of four queries, `dim` numbers each. `add`: with `keep`.
template <bool add, class Rows, class Requests>
HWY_INLINE void quad_values(const float* weights, const Rows& v, std::ptrdiff_t keys,
                            std::ptrdiff_t dim, const QuadRows& out, Requests& requests) {
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(hn::ScalableTag<float>()));
  std::ptrdiff_t at = 0;
  for (; at + kQuadVectors * lanes <= dim; at += kQuadVectors * lanes) {
    quad_value_vectors<kQuadVectors, add, false>(weights, v, keys, at, dim, out, requests);
  }
  for (; at + lanes <= dim; at += lanes) {
    quad_value_vectors<1, add, false>(weights, v, keys, at, dim, out, requests);
  }
  if (at < dim) quad_value_vectors<1, add, true>(weights, v, keys, at, dim, out, requests);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
