#include "analyse/clopper_pearson.h"

#include <boost/math/distributions/binomial.hpp>

namespace attnbench::analyse {
namespace {

using Binomial = boost::math::binomial_distribution<double>;

double lower(std::int64_t hits, std::int64_t trials, double alpha) {
  if (trials <= 0 || hits <= 0) return 0;
  return Binomial::find_lower_bound_on_p(static_cast<double>(trials), static_cast<double>(hits),
                                         alpha);
}

double upper(std::int64_t hits, std::int64_t trials, double alpha) {
  if (trials <= 0 || hits >= trials) return 1;
  return Binomial::find_upper_bound_on_p(static_cast<double>(trials), static_cast<double>(hits),
                                         alpha);
}

}  // namespace

ProportionInterval clopper_pearson(std::int64_t hits, std::int64_t trials, double confidence) {
  const double alpha = (1 - confidence) / 2;
  return {lower(hits, trials, alpha), upper(hits, trials, alpha)};
}

double clopper_pearson_upper(std::int64_t hits, std::int64_t trials, double confidence) {
  return upper(hits, trials, 1 - confidence);
}

}  // namespace attnbench::analyse
