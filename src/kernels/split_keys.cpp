#include "kernels/split_keys.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attnbench::kernels {
namespace {

/// Below this many keys a part costs more in synchronisation than it saves.
constexpr std::int64_t kKeysPerPart = 256;

}  // namespace

std::int64_t key_splits(const Problem& p, int threads) {
  const std::int64_t heads = p.batch * p.heads_kv;
  if (heads >= threads || p.seq_q * p.group() > kTileQueries) return 1;
  const std::int64_t wanted = (threads + heads - 1) / heads;
  return std::clamp<std::int64_t>(p.seq_k / kKeysPerPart, 1, wanted);
}

void KeyShare::runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
  const std::size_t before = out.size();
  base_.runs(tile, out);
  std::int64_t total = 0;
  for (std::size_t r = before; r < out.size(); ++r) total += out[r].end - out[r].begin;
  const std::int64_t from = total * part_ / parts_, to = total * (part_ + 1) / parts_;
  std::int64_t at = 0;  // Keys of the runs so far.
  std::size_t kept = before;
  for (std::size_t r = before; r < out.size(); ++r) {
    KeyRun run = out[r];
    const std::int64_t length = run.end - run.begin;
    const std::int64_t begin = std::max(from - at, std::int64_t{0});
    const std::int64_t end = std::min(to - at, length);
    at += length;
    if (begin >= end) continue;
    run.end = run.begin + end;
    run.begin += begin;
    out[kept++] = run;
  }
  out.resize(kept);
}

void merge_parts(const PartialRow& row) {
  float maximum = -std::numeric_limits<float>::infinity();
  for (std::int64_t part = 0; part < row.parts; ++part) {
    maximum = std::max(maximum, row.states[part * row.state_stride].maximum);
  }
  std::fill_n(row.out, row.dim, 0.0F);
  float sum = 0;
  for (std::int64_t part = 0; part < row.parts; ++part) {
    const SoftmaxState& state = row.states[part * row.state_stride];
    // A part without a key: its maximum is -inf and its row zero.
    if (!(state.sum > 0)) continue;
    const float factor = std::exp2(state.maximum - maximum);
    sum += factor * state.sum;
    const float* from = row.rows + part * row.row_stride;
    for (std::int64_t d = 0; d < row.dim; ++d) row.out[d] += factor * from[d];
  }
  if (row.total != nullptr) {
    *row.total = {maximum, sum};
    return;
  }
  const float inverse = sum > 0 ? 1 / sum : 0;
  for (std::int64_t d = 0; d < row.dim; ++d) row.out[d] *= inverse;
}

}  // namespace attnbench::kernels
