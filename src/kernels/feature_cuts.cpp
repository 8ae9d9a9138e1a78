#include "kernels/feature_cuts.h"

#include <algorithm>
#include <cmath>

namespace attnbench::kernels {
namespace {

HeadCuts cuts_without_mask(const Problem& p, int threads) {
  const std::int64_t heads = p.batch * p.heads_kv;
  if (heads % threads == 0 || heads >= std::int64_t{4} * threads) return {heads, 0, 1, 0, 0};
  return {heads, 0, std::clamp<std::int64_t>(threads, 1, chunks_of(p.seq_k)), 0, 0};
}

/// What mapping a chunk's keys and adding them to the state takes of all that is done for a chunk
/// of a causal head.
double absorbing_share(const FeatureShape& s, std::int64_t group) {
  const auto m = static_cast<double>(s.features);
  const auto dim_qk = static_cast<double>(s.dim_qk), dim_v = static_cast<double>(s.dim_v);
  const auto visible = static_cast<double>(kFeatureChunk + kIntraColumns) / 2;
  const double absorb = m * (dim_qk + dim_v);
  const double answer = m * (dim_qk + dim_v + 1) + visible * (m + dim_v);
  return absorb / (absorb + static_cast<double>(group) * answer);
}

HeadCuts causal_cuts(const FeatureShape& s, const Problem& p, int threads) {
  const std::int64_t heads = p.batch * p.heads_kv, chunks = chunks_of(p.seq_q);
  HeadCuts cuts{heads, heads / threads * threads, 1, chunks, chunks};
  if (cuts.cut() == 0) return cuts;
  const double share = absorbing_share(s, p.group());
  const auto rounds = [&](std::int64_t tasks) {
    const std::int64_t count = (tasks + threads - 1) / threads;
    return static_cast<double>(count);
  };
  // In units of a head's time; a second segment's state is absorbed while the first is computed.
  double least = 1;
  const auto consider = [&](double time, std::int64_t segments, double first) {
    if (time >= least) return;
    least = time;
    cuts.segments = segments;
    const double part = first * static_cast<double>(chunks);
    cuts.first_segment = std::clamp<std::int64_t>(std::llround(part), 1, chunks - 1);
  };
  if (2 * cuts.cut() <= threads && chunks >= 2) consider(1 / (2 - share), 2, 1 / (2 - share));
  for (std::int64_t n = 3; n <= std::min<std::int64_t>(threads, chunks); ++n) {
    const auto parts = static_cast<double>(n);
    consider((rounds(cuts.cut() * n) + share * rounds(cuts.cut() * (n - 1))) / parts, n, 1 / parts);
  }
  return cuts;
}

}  // namespace

HeadCuts cut_heads(const FeatureShape& s, const Problem& p, int threads) {
  return p.causal ? causal_cuts(s, p, threads) : cuts_without_mask(p, threads);
}

}  // namespace attnbench::kernels
