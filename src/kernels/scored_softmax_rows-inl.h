// Products of one query with rows in memory, for keys that no tile of queries shares, compiled once
// per instruction set.

#if defined(ATTNBENCH_KERNELS_SCORED_SOFTMAX_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_SCORED_SOFTMAX_ROWS_INL_H_
#undef ATTNBENCH_KERNELS_SCORED_SOFTMAX_ROWS_INL_H_
#else
#define ATTNBENCH_KERNELS_SCORED_SOFTMAX_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "kernels/block_sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// to[i] = scale * sum of the lanes of v[i].
template <class D, class V>
HWY_INLINE void store_four_sums(D d, const V (&v)[4], float scale, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) to[i] = scale * hn::GetLane(hn::SumOfLanes(d, v[i]));
#else
  const hn::FixedTag<float, 4> d4;
  hn::StoreU(hn::Mul(sum_of_blocks(d, four_block_sums(d, v)), hn::Set(d4, scale)), d4, to);
#endif
}

/// out[j] = scale * q . row j of k, j < count; out has room for count rounded up to 4.
HWY_INLINE void row_dots(const float* HWY_RESTRICT q, const float* HWY_RESTRICT k,
                         std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t dim,
                         float scale, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  const std::ptrdiff_t whole = dim / lanes * lanes;
  for (std::ptrdiff_t j = 0; j < count; j += 4) {
    const float* row[4];
#pragma GCC unroll 4
    for (std::ptrdiff_t r = 0; r < 4; ++r)
      row[r] = k + (j + r < count ? j + r : count - 1) * stride;
    hn::Vec<decltype(d)> sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::ptrdiff_t at = 0; at < whole; at += lanes) {
      const auto x = hn::LoadU(d, q + at);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) sum[r] = hn::MulAdd(x, hn::LoadU(d, row[r] + at), sum[r]);
    }
    store_four_sums(d, sum, scale, out + j);
    for (std::ptrdiff_t at = whole; at < dim; ++at) {
      for (std::ptrdiff_t r = 0; r < 4; ++r) out[j + r] += scale * q[at] * row[r][at];
    }
  }
}

/// out[0, dim) = factor * sum over t < count of weight[t] row(t)[0, dim).
template <class Row>
HWY_INLINE void weighted_rows(const float* HWY_RESTRICT weight, Row row, std::ptrdiff_t count,
                              std::ptrdiff_t dim, float factor, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  using Vec = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::ptrdiff_t>(hn::Lanes(d));
  std::ptrdiff_t at = 0;
  for (; at + 4 * lanes <= dim; at += 4 * lanes) {
    Vec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::ptrdiff_t t = 0; t < count; ++t) {
      const Vec w = hn::Set(d, weight[t]);
      const float* from = row(t) + at;
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sum[v] = hn::MulAdd(w, hn::LoadU(d, from + v * lanes), sum[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      hn::StoreU(hn::Mul(sum[v], hn::Set(d, factor)), d, out + at + v * lanes);
    }
  }
  for (; at + lanes <= dim; at += lanes) {
    Vec sum = hn::Zero(d);
    for (std::ptrdiff_t t = 0; t < count; ++t) {
      sum = hn::MulAdd(hn::Set(d, weight[t]), hn::LoadU(d, row(t) + at), sum);
    }
    hn::StoreU(hn::Mul(sum, hn::Set(d, factor)), d, out + at);
  }
  for (; at < dim; ++at) {
    float sum = 0;
    for (std::ptrdiff_t t = 0; t < count; ++t) sum += weight[t] * row(t)[at];
    out[at] = factor * sum;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
