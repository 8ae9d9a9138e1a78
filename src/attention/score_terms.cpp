#include "attention/score_terms.h"

#include <bit>
#include <cmath>
#include <cstdlib>

#include "attention/inputs.h"

namespace attnbench {

double alibi_slope(std::int64_t h, std::int64_t heads) {
  const auto below = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  const bool first = h < below;
  const double step = first ? static_cast<double>(h + 1) : static_cast<double>(2 * (h - below) + 1);
  return std::exp2(-8.0 * step / static_cast<double>(first ? below : 2 * below));
}

RowPlacement::RowPlacement(const Problem& p)
    : position_(p.position), interleaved_(p.rope.interleaved) {
  const double base = p.position == Position::rope ? p.rope.base : 10000.0;
  for (std::int64_t i = 0; i < (p.dim_qk + 1) / 2; ++i) {
    frequency_.push_back(
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(p.dim_qk)));
  }
  dim_ = static_cast<std::size_t>(p.dim_qk);
}

std::vector<double> RowPlacement::placed(std::vector<double> x, std::int64_t position) const {
  if (position_ != Position::sinusoidal && position_ != Position::rope) return x;
  for (std::size_t i = 0; i < frequency_.size(); ++i) {
    const double angle = static_cast<double>(position) * frequency_[i];
    const double sine = std::sin(angle), cosine = std::cos(angle);
    if (position_ == Position::sinusoidal) {
      x[2 * i] += sine;
      if (2 * i + 1 < dim_) x[2 * i + 1] += cosine;
    } else {
      const std::size_t first = interleaved_ ? 2 * i : i;
      const std::size_t second = interleaved_ ? 2 * i + 1 : i + dim_ / 2;
      const double a = x[first], b = x[second];
      x[first] = a * cosine - b * sine;
      x[second] = a * sine + b * cosine;
    }
  }
  return x;
}

double shaped_logit(const Problem& p, double s, std::int64_t h, std::int64_t i, std::int64_t j) {
  if (p.softcap) s = *p.softcap * std::tanh(s / *p.softcap);
  if (p.position == Position::alibi) {
    s -= alibi_slope(h, p.heads_q) * static_cast<double>(std::abs(i + p.diagonal() - j));
  }
  return s;
}

std::vector<float> draw_sink(std::int64_t heads, std::uint64_t seed) {
  const CounterRng rng(seed, "sink");
  std::vector<float> sink;
  for (std::int64_t h = 0; h < heads; ++h) {
    sink.push_back(static_cast<float>(rng.normal(static_cast<std::uint64_t>(h))));
  }
  return sink;
}

}  // namespace attnbench
