// The tiles that one thread computes one after the other. Internal to kernels/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/prepared_pair.h"
#include "kernels/tiled_softmax.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

/// Bytes of queries, keys, values and output of one key-value head.
std::int64_t head_bytes(const Problem& p);
/// A head, and a whole call, whose rows caches keep near enough: looking ahead then costs more than
/// it saves.
constexpr std::int64_t kNearHeadBytes = std::int64_t{1} << 20;
constexpr std::int64_t kNearBytes = std::int64_t{4} << 20;
/// The same of a call whose tiles read all keys: they do so much for each row that asking costs
/// next to nothing.
constexpr std::int64_t kNearBytesOfAllKeys = std::int64_t{2} << 20;
/// More than this a last-level cache may not keep for one process of many: tiles of few lanes then
/// ask for their own next rows as well.
constexpr std::int64_t kFarBytes = std::int64_t{12} << 20;

/// Whether all tiles of a pattern read other keys than their neighbours, and a core's own cache
/// keeps what one of them reads.
bool windows_stay_near(const Problem& p, const KeyPattern& pattern);

/// Multiply-adds of a tile's products with keys and values of `numbers` together, if nothing is
/// masked.
double product_work(const std::vector<KeyRun>& runs, std::int64_t lanes, std::int64_t numbers);

/// Adds what `next` reads and writes, apart from the keys that `now` reads as well, up to some
/// 128 KiB: its queries, keys, values and output rows. The runs of both are listed.
void add_new_rows(const TileJob& now, const TileJob& next, Upcoming& upcoming);

/// While one tile is computed, the rows that the next one reads are fetched into the second-level
/// cache: in windows most rows of a tile are new, and there are not enough products per row to hide
/// the way from memory.
class TileSequence {
 public:
  /// `scratch` holds tile_scratch_floats().
  explicit TileSequence(float* scratch) : scratch_(scratch) {}

  static constexpr std::int64_t kNone = -1;  ///< No tile.
  /// Computes tile `index`; `next` is the tile that probably follows on this thread, or kNone. Ends
  /// with kNone before what fill() refers to goes. fill(index, job, sources) fills all of a job but
  /// its scratch, runs and sources, whose kMaxSources places it fills.
  template <class Fill>
  void run(std::int64_t index, std::int64_t next, Fill fill) {
    const auto fill_entry = [&](std::int64_t at, Entry& entry) {
      entry.job = TileJob{};
      fill(at, entry.job, entry.sources);
      entry.job.scratch = scratch_;
      entry.job.runs = &entry.runs;
    };
    TileJob& now = entries_.take(index, fill_entry).job;
    now.upcoming = nullptr;
    if (next != kNone) look_ahead(now, entries_.prepare(next, fill_entry).job);
    run_tile(now);
  }

 private:
  struct Entry {
    TileJob job;
    SourceRows sources[kMaxSources];
    std::vector<KeyRun> runs;
  };

  void look_ahead(TileJob& now, TileJob& next);

  float* scratch_;
  PreparedPair<Entry, std::int64_t> entries_;
  Upcoming upcoming_;
};

}  // namespace attnbench::kernels
