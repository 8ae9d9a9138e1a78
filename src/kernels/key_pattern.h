// Which keys the queries of a tile may read: what turns the tiled softmax engine into full, causal,
// window, strided or block-sparse attention.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace attnbench::kernels {

struct BlockRanges;

constexpr int kTileQueries = 64;  ///< Lanes of a tile; one bit each in a mask word.
/// Most keys in a block: S^T of a block is 64 x 64 floats, 16 KiB.
constexpr int kKeyBlock = 64;
/// Keys of a step of tiles that keep their outputs by rows (key_ranges.h).
constexpr int kMostBlockKeys = 128;
/// Keys of a query that are few (quad_tile.h).
constexpr std::int64_t kFewKeysOfQuery = 32;

/// The queries of one tile. Lanes are ordered by position; with grouped heads several lanes share
/// one position.
struct TileQueries {
  std::int64_t batch = 0;
  std::int64_t position[kTileQueries] = {};  ///< As the pattern counts, not decreasing.
  std::int64_t query[kTileQueries] = {};     ///< Query index of each lane.
  std::int64_t head[kTileQueries] = {};      ///< Query head of each lane.
  int lanes = 0;

  std::int64_t first() const { return position[0]; }
  std::int64_t last() const { return position[lanes - 1]; }
};

/// Consecutive keys [begin, end) of one source that a tile visits.
struct KeyRun {
  int source = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool masked = false;  ///< Some lane may not read some of these keys.
};

class KeyPattern {
 public:
  virtual ~KeyPattern() = default;
  /// Keys from the first to the last that one query reads, where they move along with its position:
  /// neighbouring tiles then read different keys. Without that, kAllKeys.
  static constexpr std::int64_t kAllKeys = std::numeric_limits<std::int64_t>::max();
  virtual std::int64_t window_keys() const { return kAllKeys; }
  /// Whether tiles are faster four queries at a time (quad_tile.h): no query reads more than
  /// kFewKeysOfQuery keys, and neighbours read nearly the same.
  virtual bool few_keys() const { return false; }
  /// Appends the runs that this tile visits; together they cover every allowed (lane, key) once.
  virtual void runs(const TileQueries& tile, std::vector<KeyRun>& out) const = 0;
  /// For keys of visited runs: bit `lane` of bits[j - begin] says whether the lane may read key j.
  virtual void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
                    std::uint64_t* bits) const = 0;
  /// The ranges that block_ranges() would find in the mask words of keys [begin, end), where they
  /// follow from the positions without looking; otherwise false.
  virtual bool ranges(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
                      BlockRanges& ranges) const;
  /// Whether the rows of a source are the keys of the problem in their order; and, for every
  /// source, the key that row `at` of it holds.
  virtual bool in_place(int source) const;
  virtual std::int64_t key(int source, std::int64_t at) const;
};

/// At most kMostBlockKeys consecutive keys of one source, which a tile handles in one step.
struct KeyBlock {
  int source = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool masked = false;        ///< Overlaps a masked run.
  std::size_t first_run = 0;  ///< The run that `begin` is in.
};

/// So many blocks, and the keys in them.
struct BlockCount {
  std::int64_t blocks = 0;
  std::int64_t keys = 0;
};

/// Cuts runs into blocks: runs that follow each other without a gap form one stretch of keys, which
/// is cut evenly, so that short masked runs at a border do not become short blocks.
class BlockCursor {
 public:
  /// Blocks of up to `most_keys`.
  explicit BlockCursor(const std::vector<KeyRun>& runs, int most_keys = kKeyBlock)
      : runs_(runs), most_keys_(most_keys) {}
  /// The next block, or false at the end.
  bool next(KeyBlock& block);

  /// Passes over the blocks from the next one on that lie in one unmasked run, for those who only
  /// count them.
  BlockCount skip_unmasked();
  /// All blocks.
  static BlockCount count(const std::vector<KeyRun>& runs);

 private:
  void start_stretch();
  /// The first key of a block of the stretch, or the end of its last.
  std::int64_t cut(std::int64_t block) const { return begin_ + keys_ * block / blocks_; }
  const std::vector<KeyRun>& runs_;
  int most_keys_;
  std::size_t next_run_ = 0;  // First run after the current stretch.
  std::size_t run_ = 0;       // Run that the next block begins in.
  std::int64_t begin_ = 0, keys_ = 0, blocks_ = 0, block_ = 0;
};

/// All blocks of the runs.
std::vector<KeyBlock> all_blocks(const std::vector<KeyRun>& runs, int most_keys = kKeyBlock);

/// Mask words of a masked block: all lanes for keys of unmasked runs.
void block_mask(const KeyPattern& pattern, const TileQueries& tile, const std::vector<KeyRun>& runs,
                const KeyBlock& block, std::uint64_t* bits);

/// Keys from i + diagonal - left to i + diagonal + right (inclusive), cut to [0, key length).
class WindowPattern final : public KeyPattern {
 public:
  static constexpr std::int64_t kUnlimited = -1;
  void runs(const TileQueries& tile, std::vector<KeyRun>& out) const override;
  void mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
            std::uint64_t* bits) const override;
  bool ranges(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
              BlockRanges& ranges) const override;
  std::int64_t window_keys() const override {
    return left_ == kUnlimited || right_ == kUnlimited ? kAllKeys : left_ + right_ + 1;
  }
  bool few_keys() const override { return window_keys() <= kFewKeysOfQuery; }
  /// `key_lengths` is empty (all `keys` count) or has one entry per batch row.
  WindowPattern(std::int64_t left, std::int64_t right, std::int64_t diagonal, std::int64_t keys,
                std::vector<std::int64_t> key_lengths)
      : left_(left),
        right_(right),
        diagonal_(diagonal),
        keys_(keys),
        key_lengths_(std::move(key_lengths)) {}

 private:
  std::int64_t key_length(std::int64_t batch) const {
    return key_lengths_.empty() ? keys_ : key_lengths_[static_cast<std::size_t>(batch)];
  }
  /// The keys that query i reads, [low(i), high(i)); both ends never decrease with i.
  std::int64_t low(std::int64_t batch, std::int64_t i) const;
  std::int64_t high(std::int64_t batch, std::int64_t i) const;

  std::int64_t left_, right_, diagonal_, keys_;
  std::vector<std::int64_t> key_lengths_;
};

/// Whether each lane is one position after the lane before it.
bool consecutive(const TileQueries& tile);

/// kKeyBlock mask words, of which the n-th has the lanes below first + n: for a bound that moves on
/// by one lane from key to key.
const std::uint64_t* lanes_below(std::int64_t first);

/// Mask words of lanes that form a range [from, to).
constexpr std::uint64_t lane_range(int from, int to) {
  if (from >= to) return 0;
  const std::uint64_t below_to = to >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1;
  return below_to & ~((std::uint64_t{1} << from) - 1);
}

}  // namespace attnbench::kernels
