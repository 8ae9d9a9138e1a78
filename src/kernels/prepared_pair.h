// Two places for pieces of work that one thread does one after the other: the piece it is at, and
// the one that will probably follow, filled in ahead. Internal to kernels/.
#pragma once

#include <optional>

namespace attnbench::kernels {

/// T, of which Index says which it is.
template <class T, class Index>
class PreparedPair {
 public:
  /// Piece `index`: as it was prepared, or by fill(index, place) now.
  template <class Fill>
  T& take(const Index& index, Fill fill) {
    T& place = places_[current_];
    if (prepared_ != index) fill(index, place);
    prepared_.reset();
    return place;
  }
  /// Fills the other place, where the next take() looks first; what was taken last stays.
  template <class Fill>
  T& prepare(const Index& index, Fill fill) {
    current_ = 1 - current_;
    fill(index, places_[current_]);
    prepared_ = index;
    return places_[current_];
  }

 private:
  T places_[2];
  int current_ = 0;
  std::optional<Index> prepared_;  // What the current place holds, if it was not taken yet.
};

}  // namespace attnbench::kernels
