#include "kernels/masked_pattern.h"

#include <algorithm>

#include "kernels/bit_matrix.h"

namespace attnbench::kernels {
namespace {

using Block = AttentionMask::Block;

static_assert(AttentionMask::kBlockKeys == kKeyBlock && kKeyBlock == 64 && kTileQueries == 64,
              "a word holds a row of a block, and a column");

/// Appends keys to the last run where that is possible.
void append(std::vector<KeyRun>& out, std::size_t from, const KeyRun& run) {
  if (out.size() > from) {
    KeyRun& last = out.back();
    if (last.source == run.source && last.end == run.begin && last.masked == run.masked) {
      last.end = run.end;
      return;
    }
  }
  out.push_back(run);
}

}  // namespace

TileMask::TileMask(const AttentionMask& mask, const TileQueries& tile)
    : mask_(mask),
      batch_(tile.batch),
      first_(*std::min_element(tile.query, tile.query + tile.lanes)),
      last_(*std::max_element(tile.query, tile.query + tile.lanes)),
      first_head_(*std::min_element(tile.head, tile.head + tile.lanes)),
      last_head_(*std::max_element(tile.head, tile.head + tile.lanes)) {}

Block TileMask::block(std::int64_t key_block) const {
  const auto of_head = [&](std::int64_t h) {
    return mask_.summary(batch_, h, first_, last_, key_block);
  };
  const Block found = of_head(first_head_);
  if (!mask_.per_head()) return found;
  for (std::int64_t h = first_head_ + 1; h <= last_head_; ++h) {
    if (of_head(h) != found) return Block::mixed;
  }
  return found;
}

void MaskedPattern::runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
  std::vector<KeyRun> base;
  base_.runs(tile, base);
  const TileMask file(mask_, tile);
  const std::size_t from = out.size();
  for (const KeyRun& run : base) {
    if (!base_.in_place(run.source)) {
      append(out, from, {run.source, run.begin, run.end, true});
      continue;
    }
    for (std::int64_t begin = run.begin; begin < run.end;) {
      const std::int64_t column = begin / kKeyBlock;
      const std::int64_t end = std::min((column + 1) * kKeyBlock, run.end);
      const Block found = file.block(column);
      if (found != Block::none) {
        append(out, from, {run.source, begin, end, run.masked || found == Block::mixed});
      }
      begin = end;
    }
  }
}

void MaskedPattern::mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
                         std::uint64_t* bits) const {
  for (; end - begin > kKeyBlock; begin += kKeyBlock, bits += kKeyBlock) {
    mask(tile, source, begin, begin + kKeyBlock, bits);
  }
  base_.mask(tile, source, begin, end, bits);
  std::uint64_t words[kKeyBlock] = {};
  if (base_.in_place(source)) {
    const std::int64_t word = begin / 64, shift = begin % 64;
    for (int lane = 0; lane < tile.lanes; ++lane) {
      const std::uint64_t* row = mask_.bits(tile.batch, tile.head[lane], tile.query[lane]) + word;
      words[lane] = row[0] >> shift;
      if (shift != 0) words[lane] |= row[1] << (64 - shift);
    }
    transpose_bits(words);
  } else {
    for (std::int64_t at = begin; at < end; ++at) {
      const std::int64_t j = base_.key(source, at);
      for (int lane = 0; lane < tile.lanes; ++lane) {
        const bool read = mask_.allows(tile.batch, tile.head[lane], tile.query[lane], j);
        words[at - begin] |= std::uint64_t{read} << lane;
      }
    }
  }
  for (std::int64_t at = begin; at < end; ++at) bits[at - begin] &= words[at - begin];
}

}  // namespace attnbench::kernels
