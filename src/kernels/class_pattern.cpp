#include "kernels/class_pattern.h"

#include <algorithm>

#include "kernels/query_tiles.h"
#include "kernels/residue_class.h"

namespace attnbench::kernels {

ClassPattern::ClassPattern(const Problem& p, const GlobalWindow& g, std::int64_t residue,
                           std::int64_t batch, std::int64_t first_key)
    : globals_(g.globals),
      window_(g.window),
      dilation_(g.dilation),
      residue_(residue),
      causal_(p.causal),
      first_key_(first_key),
      keys_(class_keys(p.key_length(batch), g.dilation, residue)),
      columns_(std::ranges::lower_bound(g.globals, p.key_length(batch)) - g.globals.begin()) {}

void ClassPattern::runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
  const std::int64_t begin = low(tile.first()), end = high(tile.last());
  const std::int64_t all_from = low(tile.last()), all_to = high(tile.first());
  if (all_from < all_to) {
    add(out, 0, begin, all_from, true);
    add(out, 0, all_from, all_to, false);
    add(out, 0, all_to, end, true);
  } else {
    add(out, 0, begin, end, true);
  }
  column_runs(tile, out);
}

void ClassPattern::mask(const TileQueries& tile, int source, std::int64_t begin, std::int64_t end,
                        std::uint64_t* bits) const {
  int from = 0, to = 0;  // Lanes whose window has the key.
  for (std::int64_t at = begin; at < end; ++at) {
    if (source == 0) {
      const std::int64_t u = at + first_key_;
      while (to < tile.lanes && tile.position[to] <= u + window_) ++to;
      while (from < tile.lanes && high_position(tile.position[from]) < u) ++from;
      bits[at - begin] = lane_range(from, to);
    } else {
      bits[at - begin] = column_lanes(tile, globals_[static_cast<std::size_t>(at)]);
    }
  }
}

std::int64_t ClassPattern::low(std::int64_t t) const {
  return std::clamp<std::int64_t>(t - window_, first_key_, keys_);
}

std::int64_t ClassPattern::high(std::int64_t t) const {
  return std::clamp<std::int64_t>(high_position(t) + 1, first_key_, keys_);
}

void ClassPattern::add(std::vector<KeyRun>& out, int source, std::int64_t begin, std::int64_t end,
                       bool masked) const {
  const std::int64_t shift = source == 0 ? first_key_ : 0;
  if (begin < end) out.push_back({source, begin - shift, end - shift, masked});
}

std::uint64_t ClassPattern::column_lanes(const TileQueries& tile, std::int64_t j) const {
  const auto count_below = [&](std::int64_t t) {
    return static_cast<int>(std::lower_bound(tile.position, tile.position + tile.lanes, t) -
                            tile.position);
  };
  std::uint64_t lanes = lane_range(0, tile.lanes);
  if (causal_) {
    // p = residue + dilation t >= j
    const std::int64_t first = -floor_div(residue_ - j, dilation_);
    lanes = lane_range(count_below(first), tile.lanes);
  }
  if (j % dilation_ == residue_) {
    const std::int64_t u = j / dilation_;
    lanes &= ~lane_range(count_below(u - window_), count_below(u + window_ + 1));
  }
  return lanes;
}

std::int64_t ClassPattern::column(std::int64_t j) const {
  return std::min(std::ranges::lower_bound(globals_, j) - globals_.begin(), columns_);
}

void ClassPattern::column_runs(const TileQueries& tile, std::vector<KeyRun>& out) const {
  const auto key = [&](std::int64_t t) { return residue_ + dilation_ * t; };
  const std::int64_t end = causal_ ? column(key(tile.last()) + 1) : columns_;
  std::int64_t from = std::min(column(key(tile.first() - window_)), end);
  std::int64_t to = causal_ ? end : std::max(column(key(tile.last() + window_) + 1), from);
  const auto is_unread = [&](std::int64_t s) {
    return column_lanes(tile, globals_[static_cast<std::size_t>(s)]) == 0;
  };
  const std::int64_t before = from, after = to;
  while (from < to && is_unread(from)) ++from;
  while (from < to && is_unread(to - 1)) --to;
  // One block instead of up to three.
  if (end <= kKeyBlock && from == before && to == after) return add(out, 1, 0, end, from < to);
  add(out, 1, 0, before, false);
  add(out, 1, from, to, true);
  add(out, 1, after, end, false);
}

}  // namespace attnbench::kernels
