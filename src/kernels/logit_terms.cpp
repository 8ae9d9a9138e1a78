#include "kernels/logit_terms.h"

#include <numbers>

#include "attention/score_terms.h"

namespace attnbench::kernels {

LogitTerms::LogitTerms(const Problem& p) : diagonal(p.diagonal()) {
  constexpr double kBase2 = std::numbers::log2e;
  if (p.softcap) softcap = static_cast<float>(*p.softcap * kBase2);
  if (p.position == Position::alibi) {
    for (std::int64_t h = 0; h < p.heads_q; ++h) {
      slopes.push_back(static_cast<float>(alibi_slope(h, p.heads_q) * kBase2));
    }
  }
  for (const float logit : p.sink) {
    sink.push_back(static_cast<float>(static_cast<double>(logit) * kBase2));
  }
}

}  // namespace attnbench::kernels
