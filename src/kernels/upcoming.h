// Memory that will be needed soon, fetched into the second-level cache a little at a time while
// something else is computed. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attnbench::kernels {

/// Rows of a matrix product's usual register tile, of every instruction set: a product takes a step
/// of what is upcoming for as many rows.
constexpr int kGemmRows = 6;

/// Lines of memory to fetch, and how far that has got. Asking for many lines at once stalls the
/// loads that are needed now, so matrix products ask for a few between their register tiles.
class Upcoming {
 public:
  /// Forgets what is left.
  void clear() {
    spans_.clear();
    span_ = 0;
    lines_ = 0;
    lines_per_step_ = 0;
  }
  /// Adds `floats` numbers from `row` on.
  void add(const float* row, std::int64_t floats) {
    const char* begin = reinterpret_cast<const char*>(row);
    const char* end = reinterpret_cast<const char*>(row + floats);
    lines_ += (end - begin + kLineBytes - 1) / kLineBytes;
    if (!spans_.empty() && spans_.back().end == begin) {
      spans_.back().end = end;
    } else {
      spans_.push_back({begin, end});
    }
  }
  /// Adds `count` rows of `floats` numbers, whose beginnings are `stride` numbers apart.
  void add_rows(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t floats) {
    if (stride == floats) {
      if (count > 0) add(rows, count * floats);
      return;
    }
    for (std::int64_t r = 0; r < count; ++r) add(rows + r * stride, floats);
  }
  /// Adds `count` rows of `floats` numbers, wherever they are.
  void add_rows(const float* const* rows, int count, std::int64_t floats) {
    for (int from = 0, to = 0; from < count; from = to) {
      for (to = from + 1; to < count && rows[to] == rows[to - 1] + floats;) ++to;
      add(rows[from], (to - from) * floats);
    }
  }
  /// Lines added.
  std::int64_t lines() const { return lines_; }
  /// Which register tiles of a product take a step: those of its first columns, whose number is the
  /// same with every instruction set, or all.
  enum class Takers { first_columns, all_columns };
  /// Divides what was added over `steps` calls of step().
  void spread_over(std::int64_t steps, Takers takers = Takers::first_columns) {
    lines_per_step_ = steps > 0 ? (lines_ + steps - 1) / steps : lines_;
    takers_ = takers;
  }
  Takers takers() const { return takers_; }

  /// Asks for this step's lines.
  void step() {
    for (std::ptrdiff_t left = lines_per_step_; left > 0 && span_ < spans_.size();) {
      Span& span = spans_[span_];
      const std::ptrdiff_t lines = (span.end - span.begin + kLineBytes - 1) / kLineBytes;
      const char* end = span.begin + std::min(lines, left) * kLineBytes;
      for (const char* line = span.begin; line < end; line += kLineBytes) {
        __builtin_prefetch(line, 0, 2);
      }
      span.begin = end;
      span_ += lines <= left ? 1 : 0;
      left -= lines;
    }
  }

 private:
  static constexpr std::ptrdiff_t kLineBytes = 64;
  struct Span {
    const char* begin;
    const char* end;
  };
  std::vector<Span> spans_;
  std::size_t span_ = 0;
  std::int64_t lines_ = 0;
  std::int64_t lines_per_step_ = 0;
  Takers takers_ = Takers::first_columns;
};

/// Rows that the step after this one reads, fetched row by row meanwhile.
struct RowsAhead {
  const float* rows = nullptr;  ///< Null for none.
  std::ptrdiff_t stride = 0;
  std::ptrdiff_t count = 0;
  std::ptrdiff_t floats = 0;  ///< Of each row.

  /// Asks for rows [begin, end).
  void fetch(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    constexpr std::ptrdiff_t kLineFloats = 16;
    for (std::ptrdiff_t r = begin; r < end && r < count; ++r) {
      for (std::ptrdiff_t at = 0; at < floats; at += kLineFloats) {
        __builtin_prefetch(rows + r * stride + at, 0, 2);
      }
    }
  }
};

}  // namespace attnbench::kernels
