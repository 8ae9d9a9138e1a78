#include "kernels/tile_strip.h"

#include <algorithm>
#include <array>

#include "kernels/tile_sequence.h"

namespace attnbench::kernels {
namespace {

/// Bytes of keys and values in a stripe, and of the states of all tiles: with the next stripe, some
/// 700 KiB, which cores with AVX-512 have as a second-level cache of their own.
constexpr std::int64_t kStripeBytes = std::int64_t{192} << 10;
constexpr std::int64_t kStateBytes = std::int64_t{288} << 10;
/// Less than this of keys and values a core's own cache keeps for all tiles of a head.
constexpr std::int64_t kFarKeyBytes = std::int64_t{1} << 20;
constexpr std::int64_t kFloatBytes = sizeof(float);
/// Strips for each thread, so that the last ones do not leave others waiting for long.
constexpr std::int64_t kStripsPerThread = 4;

}  // namespace

std::size_t strip_scratch_floats(const Problem& p, int tiles) {
  return tile_scratch_floats(p.dim_qk, p.dim_v) +
         static_cast<std::size_t>(tiles - 1) * tile_state_floats(p.dim_qk, p.dim_v);
}

std::int64_t stripe_keys(std::int64_t dim_qk, std::int64_t dim_v) {
  const std::int64_t keys = kStripeBytes / (kFloatBytes * (dim_qk + dim_v));
  return std::max<std::int64_t>(keys / kKeyBlock, 1) * kKeyBlock;
}

int most_strip_tiles(const Problem& p, const KeyPattern& pattern) {
  if (tile_count(p) == 1) return 1;
  if (pattern.window_keys() != KeyPattern::kAllKeys) return 1;
  const std::int64_t state =
      static_cast<std::int64_t>(tile_state_floats(p.dim_qk, p.dim_v)) * kFloatBytes;
  return static_cast<int>(std::clamp<std::int64_t>(kStateBytes / state, 1, kMostStripTiles));
}

int strip_tiles(const Problem& p, const KeyPattern& pattern, int threads) {
  const std::int64_t key_bytes = p.seq_k * kFloatBytes * (p.dim_qk + p.dim_v);
  if (key_bytes < kFarKeyBytes) return 1;
  const std::int64_t shared = p.batch * p.heads_kv * tile_count(p) / (kStripsPerThread * threads);
  return static_cast<int>(std::clamp<std::int64_t>(shared, 1, most_strip_tiles(p, pattern)));
}

void add_keys_of_any(std::span<const TileJob> jobs, int source, std::int64_t begin,
                     std::int64_t end, Upcoming& upcoming) {
  constexpr std::int64_t kAtOnce = 256;
  const TileJob& first = jobs[0];
  const SourceRows& rows = first.sources[static_cast<std::size_t>(source)];
  for (; begin < end; begin += kAtOnce) {
    const std::int64_t until = std::min(end, begin + kAtOnce);
    std::array<bool, kAtOnce> read{};
    for (const TileJob& job : jobs) {
      for (const KeyRun& run : *job.runs) {
        if (run.source != source || run.end <= begin || until <= run.begin) continue;
        std::fill(read.begin() + (std::max(begin, run.begin) - begin),
                  read.begin() + (std::min(until, run.end) - begin), true);
      }
    }
    const auto row_end = read.begin() + (until - begin);
    for (auto from = read.begin(); (from = std::find(from, row_end, true)) != row_end;) {
      const auto to = std::find(from, row_end, false);
      const std::int64_t key = begin + (from - read.begin());
      upcoming.add_rows(rows.k + key * rows.k_stride, rows.k_stride, to - from, first.dim_qk);
      upcoming.add_rows(rows.v + key * rows.v_stride, rows.v_stride, to - from, first.dim_v);
      from = to;
    }
  }
}

void StripSequence::lend_scratch(TileStrip& strip) const {
  float* scratch = scratch_;
  for (int i = 0; i < strip.count; ++i) {
    TileJob& job = strip.jobs[i];
    job.runs = &strip.runs[i];
    job.scratch = scratch;
    scratch += i == 0 ? tile_scratch_floats(job.dim_qk, job.dim_v)
                      : tile_state_floats(job.dim_qk, job.dim_v);
  }
}

void StripSequence::look_ahead(TileStrip& next) {
  upcoming_.clear();
  const std::span<TileJob> jobs = next.all();
  for (TileJob& job : jobs) {
    list_runs(job);
    for (int lane = 0; lane < job.queries.lanes; ++lane) {
      upcoming_.add(job.q_rows[lane], job.dim_qk);
    }
  }
  add_keys_of_any(jobs, 0, 0, stripe_keys(jobs[0].dim_qk, jobs[0].dim_v), upcoming_);
  for (const TileJob& job : jobs) {
    for (int lane = 0; lane < job.queries.lanes; ++lane) {
      upcoming_.add(job.out_rows[lane], job.dim_v);
    }
  }
}

}  // namespace attnbench::kernels
