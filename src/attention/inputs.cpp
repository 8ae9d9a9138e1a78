#include "attention/inputs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

namespace attnbench {
namespace {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
/// generators"): a bijection that mixes a counter well enough to be a generator by itself.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

/// "peaked=6" -> ("peaked", 6).
struct Distribution {
  std::string name;
  double argument = 0;
};

Distribution split_distribution(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, 0};
  return {text.substr(0, equals), std::strtod(text.c_str() + equals + 1, nullptr)};
}

/// Calls fill(row, index of the row's first element in [B, H, N, D] order) for every row.
template <class Fill>
void for_each_row(Tensor& tensor, Fill fill) {
  const auto [batch, heads, seq, dim] = tensor.shape();
  TensorView view = tensor.view();
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t n = 0; n < seq; ++n) {
        fill(view.row(b, h, n), static_cast<std::uint64_t>(((b * heads + h) * seq + n) * dim), n);
      }
    }
  }
}

void fill_gaussian(Tensor& tensor, const CounterRng& rng, double scale) {
  const std::int64_t dim = tensor.shape()[3];
  for_each_row(tensor, [&](float* row, std::uint64_t base, std::int64_t) {
    for (std::int64_t d = 0; d < dim; ++d) {
      row[d] = static_cast<float>(scale * rng.normal(base + static_cast<std::uint64_t>(d)));
    }
  });
}

/// Student's t with 3 degrees of freedom, scaled to unit variance (variance 3 before).
void fill_heavy_tailed(Tensor& tensor, const CounterRng& rng) {
  const std::int64_t dim = tensor.shape()[3];
  for_each_row(tensor, [&](float* row, std::uint64_t base, std::int64_t) {
    for (std::int64_t d = 0; d < dim; ++d) {
      const std::uint64_t at = 4 * (base + static_cast<std::uint64_t>(d));
      const double z = rng.normal(at);
      double chi2 = 0;
      for (std::uint64_t i = 1; i <= 3; ++i) chi2 += rng.normal(at + i) * rng.normal(at + i);
      row[d] = static_cast<float>(z / std::sqrt(chi2 / 3.0) / std::sqrt(3.0));
    }
  });
}

/// First-order autoregression along the sequence, correlation 0.98 between neighbours, unit
/// variance. Q and K get the same stream, so that near tokens attend to each other.
void fill_local(Tensor& tensor, const CounterRng& rng) {
  constexpr double kCorrelation = 0.98;
  const double fresh = std::sqrt(1 - kCorrelation * kCorrelation);
  const std::int64_t dim = tensor.shape()[3];
  const float* previous = nullptr;
  for_each_row(tensor, [&](float* row, std::uint64_t base, std::int64_t n) {
    for (std::int64_t d = 0; d < dim; ++d) {
      const double z = rng.normal(base + static_cast<std::uint64_t>(d));
      row[d] = static_cast<float>(
          n == 0 ? z : kCorrelation * static_cast<double>(previous[d]) + fresh * z);
    }
    previous = row;
  });
}

/// Gaussian, with the first 4 keys all leaning by 1 in every dimension, as all queries do: their
/// logits are larger by sqrt(D) than the others' (attention sinks, Xiao et al. 2023).
void add_sink(Tensor& tensor, bool is_key) {
  const std::int64_t dim = tensor.shape()[3];
  for_each_row(tensor, [&](float* row, std::uint64_t, std::int64_t n) {
    if (is_key && n >= 4) return;
    for (std::int64_t d = 0; d < dim; ++d) row[d] += is_key ? 1.0F : 0.5F;
  });
}

}  // namespace

CounterRng::CounterRng(std::uint64_t seed, std::string_view stream) : key_(mix(seed + kGolden)) {
  for (char c : stream) key_ = mix(key_ ^ static_cast<unsigned char>(c)) + kGolden;
}

std::uint64_t CounterRng::bits(std::uint64_t index) const {
  return mix(mix(key_ + index * kGolden) + key_);
}

double CounterRng::uniform(std::uint64_t index) const {
  return (static_cast<double>(bits(index) >> 11) + 0.5) * 0x1p-53;
}

double CounterRng::normal(std::uint64_t index) const {
  // Box and Muller 1958; both uniforms come from one 64-bit draw, 32 bits each.
  const std::uint64_t b = bits(index);
  const double u = (static_cast<double>(b >> 32) + 0.5) * 0x1p-32;
  const double angle = static_cast<double>(b & 0xffffffffULL) * 0x1p-32 * 2 * std::numbers::pi;
  return std::sqrt(-2 * std::log(u)) * std::cos(angle);
}

const std::vector<std::string>& input_distributions() {
  static const std::vector<std::string> names{"gaussian", "peaked", "heavy-tailed", "local",
                                              "sink"};
  return names;
}

Result<std::string> check_input_distribution(std::string_view text) {
  const std::string accepted = fmt::format(
      "{}, peaked=STD with STD the standard deviation of the logits in (0, 1000], or file:PATH",
      fmt::join(input_distributions(), ", "));
  if (text.starts_with(kCapturePrefix) && text.size() > kCapturePrefix.size()) {
    return std::string(text);
  }
  if (text.starts_with("peaked=")) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 7, end, value);
    if (error == std::errc{} && stop == end && value > 0 && value <= 1000) {
      return fmt::format("peaked={}", value);
    }
  } else if (text == "peaked") {
    return std::string("peaked=4");
  } else if (std::ranges::find(input_distributions(), text) != input_distributions().end()) {
    return std::string(text);
  }
  return usage_error(fmt::format("input '{}' is not one of {}", text, accepted));
}

InputTensors draw_inputs(const Problem& p, const std::string& distribution, std::uint64_t seed) {
  InputTensors t{Tensor({p.batch, p.heads_q, p.seq_q, p.dim_qk}, p.layout),
                 Tensor({p.batch, p.heads_kv, p.seq_k, p.dim_qk}, p.layout),
                 Tensor({p.batch, p.heads_kv, p.seq_k, p.dim_v}, p.layout)};
  const auto [name, argument] = split_distribution(distribution);
  const CounterRng q_rng(seed, "q"), k_rng(seed, "k"), v_rng(seed, "v");
  fill_gaussian(t.v, v_rng, 1);
  if (name == "heavy-tailed") {
    fill_heavy_tailed(t.q, q_rng);
    fill_heavy_tailed(t.k, k_rng);
  } else if (name == "local") {
    fill_local(t.q, q_rng);
    fill_local(t.k, p.seq_q == p.seq_k && p.heads_q == p.heads_kv ? q_rng : k_rng);
    fill_local(t.v, v_rng);
  } else {
    // Logits of independent standard normal q and k have standard deviation 1 under 1/sqrt(D):
    // a factor sqrt(std) on both gives the chosen one.
    const double factor = name == "peaked" ? std::sqrt(argument) : 1;
    fill_gaussian(t.q, q_rng, factor);
    fill_gaussian(t.k, k_rng, factor);
    if (name == "sink") {
      add_sink(t.q, false);
      add_sink(t.k, true);
    }
  }
  return t;
}

}  // namespace attnbench
