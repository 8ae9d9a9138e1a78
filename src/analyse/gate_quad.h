// From timed samples to the value of a launch.
#pragma once

#include <array>
#include <optional>
#include <span>

namespace attnbench::analyse {

/// Four samples of one cell, equally long and equally spaced, in the order base head head base
/// (ABBA) or head base base head (BAAB). A drift that is linear in log time cancels exactly.
struct Quad {
  bool base_first = true;           ///< ABBA.
  std::array<double, 4> seconds{};  ///< Per call, in the order they were taken.
  double base_s() const;            ///< Geometric mean of the base's two.
  double head_s() const;            ///< And of the head's.
};

/// ((ln h1 - ln b1) + (ln h2 - ln b2)) / 2; nothing when a sample is not a positive finite number.
std::optional<double> quad_value(const Quad& quad);

/// The value D of a launch for one cell: the mean of its quads' values, with four or more quads
/// their median. Nothing when there is no quad or one of them has no value.
std::optional<double> launch_value(std::span<const Quad> quads);

}  // namespace attnbench::analyse
