#include "kernels/tile_sequence.h"

#include <algorithm>

namespace attnbench::kernels {
namespace {

/// More than this a second-level cache may not keep until it is needed.
constexpr std::int64_t kMostLines = 2048;

/// Keys [begin, end) of one source of both jobs, apart from those in the runs from `run` on.
void add_keys(const TileJob& next, int source, std::int64_t begin, std::int64_t end,
              const std::vector<KeyRun>& known, std::size_t run, Upcoming& upcoming) {
  for (; run < known.size() && begin < end; ++run) {
    const KeyRun& other = known[run];
    if (other.source != source || other.end <= begin || end <= other.begin) continue;
    add_keys(next, source, begin, other.begin, known, run + 1, upcoming);
    begin = std::max(begin, other.end);
  }
  const SourceRows& rows = next.sources[static_cast<std::size_t>(source)];
  const std::int64_t fit = std::max<std::int64_t>(0, kMostLines - upcoming.lines()) * 16 /
                           std::max<std::int64_t>(1, next.dim_qk + next.dim_v);
  const std::int64_t count = std::min(end - begin, fit);
  if (count <= 0) return;
  upcoming.add_rows(rows.k + begin * rows.k_stride, rows.k_stride, count, next.dim_qk);
  upcoming.add_rows(rows.v + begin * rows.v_stride, rows.v_stride, count, next.dim_v);
}

}  // namespace

std::int64_t head_bytes(const Problem& p) {
  return (p.seq_q * p.group() + p.seq_k) * (p.dim_qk + p.dim_v) *
         static_cast<std::int64_t>(sizeof(float));
}

bool windows_stay_near(const Problem& p, const KeyPattern& pattern) {
  const std::int64_t keys = pattern.window_keys();
  const auto row_bytes = static_cast<std::int64_t>(sizeof(float)) * (p.dim_qk + p.dim_v);
  return keys != KeyPattern::kAllKeys && (keys + kTileQueries) * row_bytes <= kNearHeadBytes;
}

double product_work(const std::vector<KeyRun>& runs, std::int64_t lanes, std::int64_t numbers) {
  return static_cast<double>(BlockCursor::count(runs).keys * lanes) * static_cast<double>(numbers);
}

void add_new_rows(const TileJob& now, const TileJob& next, Upcoming& upcoming) {
  upcoming.add_rows(next.q_rows, next.queries.lanes, next.dim_qk);
  static const std::vector<KeyRun> kNoRuns;
  for (const KeyRun& run : *next.runs) {
    const auto source = static_cast<std::size_t>(run.source);
    const bool same =
        source < now.sources.size() && now.sources[source].k == next.sources[source].k;
    add_keys(next, run.source, run.begin, run.end, same ? *now.runs : kNoRuns, 0, upcoming);
  }
  upcoming.add_rows(next.out_rows, next.queries.lanes, next.dim_v);
}

void TileSequence::look_ahead(TileJob& now, TileJob& next) {
  list_runs(now);
  list_runs(next);
  upcoming_.clear();
  add_new_rows(now, next, upcoming_);
  upcoming_.spread_over(product_work(*now.runs, now.queries.lanes, now.dim_qk + now.dim_v));
  now.upcoming = &upcoming_;
}

}  // namespace attnbench::kernels
