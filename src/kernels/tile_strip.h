// Tiles of one head that go over its keys together, a stripe of keys at a time, so that keys and
// values come from far once for all of them: the second level of blocking of a matrix product (Goto
// and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", section 4), with the
// tiles' states and a stripe in the second-level cache. Internal to kernels/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/prepared_pair.h"
#include "kernels/tiled_softmax.h"
#include "kernels/upcoming.h"

namespace attnbench::kernels {

constexpr int kMostStripTiles = 4;

/// The most tiles of a strip of such problems, however long: 1 where tiles read other keys than
/// their neighbours, where a head is one tile, or where two tiles' states are more than a core's
/// own cache has room for beside a stripe.
int most_strip_tiles(const Problem& problem, const KeyPattern& pattern);
/// Tiles of a strip of a call on `threads` threads: 1 where a core's own cache keeps a head's keys
/// and values, and fewer than the most where there would be too few strips to share out.
int strip_tiles(const Problem& problem, const KeyPattern& pattern, int threads);

/// Floats of scratch of a strip: of one tile, and the states of the others. Scores are computed
/// where the first tile has room for them.
std::size_t strip_scratch_floats(const Problem& problem, int tiles);

/// Keys of a stripe, a multiple of kKeyBlock: up to 192 KiB with their values, at least a block.
std::int64_t stripe_keys(std::int64_t dim_qk, std::int64_t dim_v);

/// Adds the rows of keys [begin, end) of a source that any of the jobs reads; their runs are
/// listed.
void add_keys_of_any(std::span<const TileJob> jobs, int source, std::int64_t begin,
                     std::int64_t end, Upcoming& upcoming);

/// Computes the tiles as run_tile() would, with the same results. The first has
/// tile_scratch_floats(), the others tile_state_floats(); only the first may have few lanes. `next`
/// (or null) is what is read after these tiles: it is fetched during their last stripe.
void run_strip(std::span<TileJob> jobs, Upcoming* next);

/// The tiles of a strip with what they refer to.
struct TileStrip {
  TileJob jobs[kMostStripTiles];
  SourceRows sources[kMaxSources];
  std::vector<KeyRun> runs[kMostStripTiles];
  int count = 0;

  std::span<TileJob> all() { return {jobs, static_cast<std::size_t>(count)}; }
};

/// The strips that one thread computes one after the other; what the next one reads first is
/// fetched at the end of each.
class StripSequence {
 public:
  /// `scratch` holds strip_scratch_floats().
  explicit StripSequence(float* scratch) : scratch_(scratch) {}

  static constexpr std::int64_t kNone = -1;  ///< No strip.
  /// Computes strip `index`; `next` is the one that probably follows on this thread, or kNone.
  /// fill(index, strip) fills the strip's jobs but for scratch and runs, its sources and count.
  template <class Fill>
  void run(std::int64_t index, std::int64_t next, Fill fill) {
    const auto fill_strip = [&](std::int64_t at, TileStrip& strip) {
      for (TileJob& job : strip.jobs) job = TileJob{};
      fill(at, strip);
      lend_scratch(strip);
    };
    TileStrip& now = strips_.take(index, fill_strip);
    if (next != kNone) look_ahead(strips_.prepare(next, fill_strip));
    run_strip(now.all(), next == kNone ? nullptr : &upcoming_);
  }

 private:
  void lend_scratch(TileStrip& strip) const;
  void look_ahead(TileStrip& next);

  float* scratch_;
  PreparedPair<TileStrip, std::int64_t> strips_;
  Upcoming upcoming_;
};

}  // namespace attnbench::kernels
