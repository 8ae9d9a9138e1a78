#include "analyse/moderated_variance.h"

#include <algorithm>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>
#include <cmath>

namespace attnbench::analyse {
namespace {

struct Prior {
  double variance = 0;
  double degrees = 0;
};

/// By the first two moments of the log variances.
Prior fit_prior(std::span<const double> variances, double degrees, double most_degrees) {
  using boost::math::digamma;
  using boost::math::trigamma;
  const auto n = static_cast<double>(variances.size());
  double mean = 0, scatter = 0;
  for (const double variance : variances) mean += std::log(variance) / n;
  for (const double variance : variances) {
    scatter += std::pow(std::log(variance) - mean, 2) / (n - 1);
  }
  // The log of a sample variance has this bias, and trigamma(degrees / 2) as its own variance.
  mean -= digamma(degrees / 2) - std::log(degrees / 2);
  const double excess = scatter - trigamma(degrees / 2);
  if (excess <= 0) return {std::exp(mean), most_degrees};
  const double prior = 2 * inverse_trigamma(excess);
  return {std::exp(mean + digamma(prior / 2) - std::log(prior / 2)), std::min(prior, most_degrees)};
}

}  // namespace

double inverse_trigamma(double x) {
  // trigamma falls strictly; its inverse is near 1/x for small arguments of it and near 1/sqrt(x)
  // for large ones. Bisection in the logarithm needs no start.
  double low = 1e-6, high = 1e7;
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(low * high);
    (boost::math::trigamma(middle) > x ? low : high) = middle;
  }
  return std::sqrt(low * high);
}

std::vector<Variance> moderated_variances(std::span<const double> variances, double degrees,
                                          double most_prior_degrees) {
  std::vector<double> positive;
  for (const double variance : variances) {
    if (variance > 0) positive.push_back(variance);
  }
  const double least = positive.empty() ? 0 : *std::ranges::min_element(positive);
  std::vector<double> values(variances.begin(), variances.end());
  for (double& value : values) value = std::max(value, least);
  std::vector<Variance> moderated;
  const bool usable = values.size() >= 3 && least > 0;
  const Prior prior = usable ? fit_prior(values, degrees, most_prior_degrees) : Prior{};
  for (const double value : values) {
    const double all = prior.degrees + degrees;
    moderated.push_back({(prior.degrees * prior.variance + degrees * value) / all, all});
  }
  return moderated;
}

}  // namespace attnbench::analyse
