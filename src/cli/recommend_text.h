// What `attnbench recommend` prints.
#pragma once

#include <string>
#include <vector>

#include "analyse/recommend.h"

namespace attnbench::cli {

/// For people: the fastest, by how much, what else there is and why it is not.
std::string recommendation_text(const std::vector<analyse::Series>& series,
                                const analyse::Recommendation& found,
                                const analyse::Request& request);

/// The same as one JSON object.
std::string recommendation_json(const std::vector<analyse::Series>& series,
                                const analyse::Recommendation& found,
                                const analyse::Request& request);

/// "B=1 H=4 D=64 avx2, T=1: N from 256 to 4096": a line per problem and thread count.
std::string measured_text(const std::vector<analyse::Series>& series);

}  // namespace attnbench::cli
