#include "attention/variant.h"

#include <fmt/format.h>

#include <algorithm>

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

GrowthLaws Variant::laws_on(const Problem& problem, const ParamValues& params) const {
  GrowthLaws grown = laws(params);
  if (problem.mode == Mode::decode) {
    // There are as many queries at any N, so a square or its like is what one row has of it.
    if (grown.time == "N^2") grown.time = "N";
    if (grown.time == "N^1.5") grown.time = "N^0.5";
    if (grown.workspace == "N^2") grown.workspace = "N";
    return grown;
  }
  if (problem.places_queries() && (grown.workspace == "1" || grown.workspace == "N^0.5")) {
    grown.workspace = "N";
  }
  return grown;
}

std::optional<std::string> Variant::refusal(const Problem& problem,
                                            const ParamValues& params) const {
  const ScoreOptions& takes = info().takes;
  if (problem.position != Position::none &&
      std::ranges::find(takes.positions, problem.position) == takes.positions.end()) {
    std::string accepted = "none";
    for (const Position position : takes.positions) {
      accepted += fmt::format(", {}", to_string(position));
    }
    return fmt::format("{} does not take position {} (accepted: {})", info().name,
                       to_string(problem.position), accepted);
  }
  if (problem.softcap && !takes.softcap) {
    return fmt::format("{} does not take a softcap", info().name);
  }
  if (!problem.sink.empty() && !takes.sink) {
    return fmt::format("{} does not take a sink", info().name);
  }
  if (problem.mask != nullptr && !info().takes_mask) {
    const std::string_view why = info().mask_refusal;
    return fmt::format("{} takes no mask from a file{}{}", info().name, why.empty() ? "" : ": ",
                       why);
  }
  return unsupported_reason(problem, params);
}

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
