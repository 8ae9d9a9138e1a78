#include "attention/variant.h"

#include <fmt/format.h>

#include "attention/reference.h"

namespace attnbench {

std::string_view to_string(Exactness exactness) {
  switch (exactness) {
    case Exactness::exact:
      return "exact";
    case Exactness::exact_under_mask:
      return "exact-under-mask";
    case Exactness::approximate:
      return "approximate";
    case Exactness::different:
      return "different";
  }
  return "";
}

GrowthLaws Variant::laws(const ParamValues&) const { return info().laws; }

Result<AuxSet> Variant::complete_aux(const Problem&, ParamValues&, AuxSet given,
                                     std::uint64_t) const {
  if (!given.empty()) {
    return usage_error(fmt::format("{} takes no auxiliary tensors, '{}' was given", info().name,
                                   given.begin()->first));
  }
  return AuxSet{};
}

bool Variant::allows(const Problem& problem, const ParamValues&, std::int64_t b, std::int64_t,
                     std::int64_t i, std::int64_t j) const {
  return base_mask_allows(problem, b, i, j);
}

ReferenceRows SoftmaxVariant::reference(const ReferenceRequest& request) const {
  return {
      softmax_attention_rows(request.problem, request.inputs, request.rows,
                             [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
                               return allows(request.problem, request.params, b, h, i, j);
                             }),
      {}};
}

}  // namespace attnbench
