#include "analyse/signed_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <mutex>

namespace attnbench::analyse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Upper tails of the exact distribution: every subset of the ranks 1..count is as likely.
std::vector<double> exact_tails(std::size_t count, std::size_t maximum) {
  std::vector<double> probability(maximum + 1, 0.0);
  probability[0] = 1;
  std::size_t reached = 0;
  for (std::size_t rank = 1; rank <= count; ++rank) {
    reached += rank;
    for (std::size_t sum = reached; sum >= rank; --sum) {
      probability[sum] = 0.5 * (probability[sum] + probability[sum - rank]);
    }
    for (std::size_t sum = 0; sum < rank; ++sum) probability[sum] *= 0.5;
  }
  for (std::size_t sum = maximum; sum-- > 0;) probability[sum] += probability[sum + 1];
  return probability;
}

std::vector<double> normal_tails(std::size_t count, std::size_t maximum) {
  const auto n = static_cast<double>(count);
  const double mean = n * (n + 1) / 4;
  const double deviation = std::sqrt(n * (n + 1) * (2 * n + 1) / 24);
  std::vector<double> tails(maximum + 1);
  for (std::size_t sum = 0; sum <= maximum; ++sum) {
    const double z = (static_cast<double>(sum) - 0.5 - mean) / deviation;
    tails[sum] = 0.5 * std::erfc(z / std::sqrt(2.0));
  }
  return tails;
}

}  // namespace

SignedRankDistribution::SignedRankDistribution(std::size_t count)
    : count_(count), maximum_(count * (count + 1) / 2) {
  upper_tail_ =
      count_ <= kExactCount ? exact_tails(count_, maximum_) : normal_tails(count_, maximum_);
}

double SignedRankDistribution::at_least(std::size_t statistic) const {
  if (statistic == 0) return 1;
  return statistic > maximum_ ? 0 : std::min(1.0, upper_tail_[statistic]);
}

std::size_t SignedRankDistribution::critical(double level) const {
  // The tails descend.
  const auto found = std::partition_point(upper_tail_.begin(), upper_tail_.end(),
                                          [&](double tail) { return tail > level; });
  return static_cast<std::size_t>(found - upper_tail_.begin());
}

const SignedRankDistribution& signed_rank_distribution(std::size_t count) {
  static std::mutex mutex;
  static std::map<std::size_t, std::unique_ptr<SignedRankDistribution>> known;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& slot = known[count];
  if (slot == nullptr) slot = std::make_unique<SignedRankDistribution>(count);
  return *slot;
}

Result<SignedRank> SignedRank::make(std::span<const double> values) {
  if (values.empty()) return usage_error("a signed-rank test needs at least one value");
  if (!std::ranges::all_of(values, [](double value) { return std::isfinite(value); })) {
    return usage_error("a signed-rank test needs finite values");
  }
  SignedRank made;
  made.count_ = values.size();
  made.walsh_.reserve(made.count_ * (made.count_ + 1) / 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) made.walsh_.push_back(0.5 * values[i] + 0.5 * values[j]);
  }
  std::ranges::sort(made.walsh_);
  return made;
}

double SignedRank::estimate() const {
  const std::size_t middle = walsh_.size() / 2;
  return walsh_.size() % 2 == 1 ? walsh_[middle] : 0.5 * walsh_[middle - 1] + 0.5 * walsh_[middle];
}

double SignedRank::p_above(double bound) const {
  const auto above = walsh_.end() - std::ranges::upper_bound(walsh_, bound);
  return signed_rank_distribution(count_).at_least(static_cast<std::size_t>(above));
}

double SignedRank::p_below(double bound) const {
  const auto below = std::ranges::lower_bound(walsh_, bound) - walsh_.begin();
  return signed_rank_distribution(count_).at_least(static_cast<std::size_t>(below));
}

double SignedRank::lower_bound(double level) const {
  const std::size_t critical = signed_rank_distribution(count_).critical(level);
  if (critical > walsh_.size()) return -kInfinity;
  return critical == 0 ? kInfinity : walsh_[walsh_.size() - critical];
}

double SignedRank::upper_bound(double level) const {
  const std::size_t critical = signed_rank_distribution(count_).critical(level);
  if (critical > walsh_.size()) return kInfinity;
  return critical == 0 ? -kInfinity : walsh_[critical - 1];
}

}  // namespace attnbench::analyse
