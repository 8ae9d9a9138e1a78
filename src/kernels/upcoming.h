// Memory that will be needed soon, fetched into the second-level cache a little at a time while
// something else is computed. Internal to kernels/.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core_kind.h"

namespace attnbench::kernels {

/// Lines of memory that follow each other.
struct LinesAhead {
  static constexpr std::ptrdiff_t kLineBytes = 64;
  const char* first = nullptr;
  std::ptrdiff_t count = 0;

  /// Asks for the i-th.
  void fetch(std::ptrdiff_t i) const { __builtin_prefetch(first + i * kLineBytes, 0, 2); }
  /// The same, into the first-level cache.
  void fetch_near(std::ptrdiff_t i) const { __builtin_prefetch(first + i * kLineBytes, 0, 3); }
};

/// Rows that were added to any Upcoming, for tests that hold what is asked for against what is
/// read. One thread.
struct RowLog {
  struct Rows {
    const float* first;
    std::int64_t stride;
    std::int64_t count;
    std::int64_t floats;
  };
  std::vector<Rows> rows;
};

/// The log that rows are noted in, or null (the default): one predictable branch per rows added.
inline std::atomic<RowLog*>& row_log() {
  static std::atomic<RowLog*> log{nullptr};
  return log;
}

/// Lines of memory to fetch, and how far that has got. Lines that are asked for in a bunch are not
/// all fetched (AMD Zen 5 drops a third of 16 requests to its second-level cache that follow each
/// other at once) or make what is needed now wait (Intel), so matrix products ask for one in each
/// step of their register tiles, and for as many in all as their part of the work.
class Upcoming {
 public:
  /// Forgets what is left.
  void clear() {
    if (planned_work_ > 0 && done_work_ > 0) {
      share_ = std::clamp(static_cast<double>(done_work_) / planned_work_, kLeastShare, 1.0);
    }
    planned_work_ = 0;
    done_work_ = 0;
    spans_.clear();
    span_ = 0;
    lines_ = 0;
    all_due_after_ = 1;
    per_work_ = 0;
    due_ = 0;
  }
  /// Adds `floats` numbers from `row` on.
  void add(const float* row, std::int64_t floats) { add_rows(row, floats, 1, floats); }
  /// Adds `count` rows of `floats` numbers, whose beginnings are `stride` numbers apart.
  void add_rows(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t floats) {
    if (count <= 0) return;
    if (RowLog* log = row_log().load(std::memory_order_relaxed)) {
      log->rows.push_back({rows, stride, count, floats});
    }
    if (stride == floats) {
      floats *= count;
      count = 1;
    }
    const char* begin = bytes_of(rows);
    const char* end = bytes_of(rows + floats);
    lines_ += count * lines_between(begin, end);
    Span* last = spans_.empty() ? nullptr : &spans_.back();
    if (count == 1 && last != nullptr && last->rows_left == 0 && last->end == begin) {
      last->end = end;
    } else {
      spans_.push_back({begin, end, bytes_of(rows + stride), end - begin,
                        stride * std::int64_t{sizeof(float)}, count - 1});
    }
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
  /// Divides what was added over so much work: multiply-adds of the products that are to ask for
  /// it, or another unit of the caller's. It may be more than will be done, as where some of it is
  /// masked: then as much of it is reckoned with as was done the time before.
  void spread_over(double work) {
    planned_work_ = std::max(work, 1.0);
    all_due_after_ = static_cast<std::int64_t>(std::ceil(planned_work_ * share_ * kDoneAt));
    per_work_ = (lines_ << kPointBits) / all_due_after_ + 1;
  }

  /// The lines to ask for during so much `work`, at most `most` of them; those that are due beyond
  /// that, or do not follow the first, come with the next call.
  LinesAhead take(std::int64_t work, std::int64_t most) {
    return next(std::min(due_with(work), most));
  }
  /// The next lines, at most `most`, however much work was done.
  LinesAhead take_part(std::int64_t most) {
    return span_ == spans_.size() ? LinesAhead{} : take_off(most);
  }
  /// Asks for the lines of so much work at once.
  void step(std::int64_t work) { ask(due_with(work)); }
  /// Asks for all that is left at once.
  void rest() { ask(lines_); }

 private:
  static constexpr double kLeastShare = 0.1;
  static constexpr int kPointBits = 32;
  /// What is asked for last is needed first thing afterwards.
  static constexpr double kDoneAt = 0.8;

  /// What is left of one or several rows.
  struct Span {
    const char* begin;
    const char* end;       ///< Of this row.
    const char* next_row;  ///< Of as many bytes, if there are `rows_left`.
    std::int64_t row_bytes;
    std::int64_t stride_bytes;
    std::int64_t rows_left;
  };

  static const char* bytes_of(const float* at) { return reinterpret_cast<const char*>(at); }
  static std::int64_t lines_between(const char* begin, const char* end) {
    return (end - begin + LinesAhead::kLineBytes - 1) / LinesAhead::kLineBytes;
  }
  /// Up to `most` lines of one row, which are taken off.
  LinesAhead take_off(std::int64_t most) {
    Span& span = spans_[span_];
    const std::int64_t left = lines_between(span.begin, span.end);
    const LinesAhead lines{span.begin, std::min(left, most)};
    span.begin += lines.count * LinesAhead::kLineBytes;
    if (lines.count < left) return lines;
    if (span.rows_left == 0) {
      ++span_;
      return lines;
    }
    --span.rows_left;
    span.begin = span.next_row;
    span.end = span.begin + span.row_bytes;
    span.next_row += span.stride_bytes;
    return lines;
  }
  /// Lines that are due when so much more work is done.
  std::int64_t due_with(std::int64_t work) {
    done_work_ += work;
    if (span_ == spans_.size()) return 0;
    // The product of more work might overflow.
    due_ = work < all_due_after_ ? due_ + per_work_ * work : lines_ << kPointBits;
    return due_ >> kPointBits;
  }
  LinesAhead next(std::int64_t most) {
    if (most <= 0) return {};
    const LinesAhead lines = take_off(most);
    due_ -= lines.count << kPointBits;
    return lines;
  }
  void ask(std::int64_t most) {
    std::int64_t left = most;
    while (left > 0 && span_ < spans_.size()) {
      const LinesAhead lines = take_off(left);
      for (std::int64_t i = 0; i < lines.count; ++i) lines.fetch(i);
      left -= lines.count;
    }
    due_ -= (most - left) << kPointBits;
  }

  std::vector<Span> spans_;
  std::size_t span_ = 0;
  std::int64_t lines_ = 0;
  std::int64_t all_due_after_ = 1;  // So much work.
  std::int64_t per_work_ = 0;       // Lines, in units of 2^-kPointBits, as
  std::int64_t due_ = 0;            // those that are due.
  double planned_work_ = 0;
  std::int64_t done_work_ = 0;
  double share_ = 1;  // Of the planned work, that was done the last time.
};

/// Asks for what is upcoming at an even pace, one row or a part of one at a time, for products that
/// are too short to have a line in each of their steps. Into the second-level cache, or, `near`,
/// into the first, where that serves a core better (core_kind.h).
class PacedRequests {
 public:
  /// Nothing.
  PacedRequests() = default;
  /// All of `upcoming` (null for nothing) in `steps` steps, or somewhat less.
  PacedRequests(Upcoming* upcoming, std::int64_t steps, bool near = asks_rows_near())
      : upcoming_(upcoming), near_(near) {
    if (upcoming == nullptr || steps <= 0) return;
    const double requests = static_cast<double>(upcoming->lines()) / kLines;
    per_step_ = static_cast<std::uint32_t>(
        std::min(requests / (kDoneAt * static_cast<double>(steps)), 1.0) * kOne);
  }
  /// The lines of one step, in most steps none.
  LinesAhead next() { return is_due() ? upcoming_->take_part(kLines) : LinesAhead{}; }
  /// Asks for them.
  void step() {
    if (!is_due()) return;
    const LinesAhead lines = upcoming_->take_part(kLines);
    if (near_) {
      for (std::ptrdiff_t i = 0; i < lines.count; ++i) lines.fetch_near(i);
    } else {
      for (std::ptrdiff_t i = 0; i < lines.count; ++i) lines.fetch(i);
    }
  }

 private:
  bool is_due() {
    credit_ += per_step_;
    if (credit_ < kOne) return false;
    credit_ -= kOne;
    return true;
  }

  static constexpr std::uint32_t kOne = 1U << 16;
  static constexpr std::int64_t kLines = 4;
  static constexpr double kDoneAt = 0.95;
  Upcoming* upcoming_ = nullptr;
  bool near_ = false;
  std::uint32_t per_step_ = 0;
  std::uint32_t credit_ = 0;
};

/// In the place of PacedRequests where nothing is asked for.
struct NoRequests {
  void step() {}
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
