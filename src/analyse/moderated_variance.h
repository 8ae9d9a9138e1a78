// Variances of many cells that were each seen a few times only.
#pragma once

#include <span>
#include <vector>

namespace attnbench::analyse {

/// A variance and the degrees of freedom that stand behind it.
struct Variance {
  double value = 0;
  double degrees = 0;
};

/// Draws each sample variance (of `degrees` degrees of freedom) towards what all have in common, as
/// far as their own scatter allows: empirical Bayes with an inverse chi-square prior (G. Smyth,
/// Statist. Appl. Genet. Mol. Biol. 3, 2004, section 6.2). The prior counts for at most
/// `most_prior_degrees`: cells of one run are not independent. Fewer than three variances come back
/// as they are. Variances of 0 count as the smallest positive one (all 0: stay 0).
std::vector<Variance> moderated_variances(std::span<const double> variances, double degrees,
                                          double most_prior_degrees);

/// The y with trigamma(y) = x, x > 0.
double inverse_trigamma(double x);

}  // namespace attnbench::analyse
