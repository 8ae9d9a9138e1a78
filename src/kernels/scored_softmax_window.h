// Attention in a window around a position p, weighted by a Gaussian (Luong, Pham, Manning 2015,
// arXiv 1508.04025, section 3.2):
//
//   O_i = sum over |s - p| <= D_w of softmax_s(q_i . k_s) exp(-(s - p)^2 / (2 sigma^2)) v_s
//
// with sigma = D_w / 2. The softmax runs over the window; the Gaussian is not renormalised. Soft
// cap, ALiBi, masks from files and the sink are those of the softmax.
#pragma once

#include <cstdint>
#include <vector>

#include "attention/executor.h"
#include "attention/problem.h"
#include "attention/tensor.h"

namespace attnbench::kernels {

/// exp(-x^2 / (2 sigma^2)) of whole distances x = query - key, once for each query head of a group:
/// neighbouring lanes of a tile are neighbours here (packed, untimed).
class GaussianTable {
 public:
  GaussianTable(const Problem& problem, std::int64_t window);
  /// Of distance floor(index / group); as many lanes of a tile may follow.
  const float* at(std::int64_t index) const { return values_.data() + zero_ + index; }
  /// Of four lanes from `index` on and one key, then of the same lanes and the next three keys;
  /// where windows have few keys (KeyPattern::few_keys()).
  const float* quad_at(std::int64_t index) const {
    return quads_.data() + (zero_ + index) * kQuadFloats;
  }
  static constexpr std::int64_t kQuadFloats = 16;

 private:
  std::vector<float> values_;
  std::vector<float> quads_;
  std::int64_t zero_ = 0;  // Where distance 0 begins.
};

/// p = i + Nk - Nq: tiles of queries over their common band of keys.
void monotonic_window_attention(const Problem& problem, std::int64_t window,
                                const GaussianTable& gaussian, const Inputs& inputs,
                                TensorView output, Workspace& workspace, Executor& executor);

/// The network that predicts p = Nk sigmoid(vp . tanh(Wp q)), packed (untimed). In float64: at Nk =
/// 16384 a float32 position would move the weights by 1e-4.
struct PositionNetwork {
  std::int64_t dim = 0;
  std::int64_t hidden = 0;
  std::int64_t stride = 0;  ///< hidden, padded to 32 with zeros: 4 vectors of AVX-512.
  std::vector<double> w;    ///< [dim][stride], Wp transposed, in units of ln(2) / 2
  std::vector<double> v;    ///< [stride]
  double v_sum = 0;
};
/// `w` is [hidden][dim], `v` [hidden].
PositionNetwork pack_position_network(std::int64_t dim, std::int64_t hidden, const float* w,
                                      const float* v);

/// p predicted for each query: neighbouring queries share no keys, so queries are taken in the
/// order of their positions, and each goes over its own window row by row. Always 2 D_w + 1 keys,
/// or as many as the base mask has, so that the work does not depend on the data.
void predictive_window_attention(const Problem& problem, std::int64_t window,
                                 const PositionNetwork& network, const Inputs& inputs,
                                 TensorView output, Workspace& workspace, Executor& executor);

/// What they take and execute, for cost models.
struct WindowWork {
  double flops = 0;
  double exps = 0;
  std::size_t workspace_bytes = 0;
  double float64_flops = 0, float64_exps = 0;  ///< Of flops and exps, what is done in float64.
};
WindowWork monotonic_window_work(const Problem& problem, std::int64_t window, int threads);
WindowWork predictive_window_work(const Problem& problem, std::int64_t window, std::int64_t hidden,
                                  int threads);

}  // namespace attnbench::kernels
