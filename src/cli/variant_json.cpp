#include "cli/variant_json.h"

namespace attnbench::cli {

using Json = nlohmann::ordered_json;

std::string_view to_string(ParamSpec::Type type) {
  switch (type) {
    case ParamSpec::Type::integer:
      return "integer";
    case ParamSpec::Type::real:
      return "real";
    case ParamSpec::Type::boolean:
      return "boolean";
    case ParamSpec::Type::choice:
      return "choice";
    case ParamSpec::Type::integer_list:
      return "integer list";
  }
  return "";
}

Json variant_json(const VariantInfo& info) {
  Json params = Json::array();
  for (const ParamSpec& spec : info.params) {
    Json param{{"name", spec.name},
               {"type", to_string(spec.type)},
               {"default", spec.default_text},
               {"accepted", spec.accepted()},
               {"meaning", spec.meaning}};
    if (spec.minimum) param["minimum"] = *spec.minimum;
    if (spec.maximum) param["maximum"] = *spec.maximum;
    if (!spec.choices.empty()) param["choices"] = spec.choices;
    params.push_back(std::move(param));
  }
  Json aux = Json::array();
  for (const AuxSpec& spec : info.aux) {
    aux.push_back({{"name", spec.name},
                   {"shape", spec.shape},
                   {"type", spec.is_integer ? "integer" : "float32"},
                   {"meaning", spec.meaning}});
  }
  Json positions = Json::array({"none"});
  for (const Position position : info.takes.positions) positions.push_back(to_string(position));
  return {{"name", info.name},
          {"family", info.family},
          {"exactness", to_string(info.exactness)},
          {"summary", info.summary},
          {"formula", info.formula},
          {"source", info.source},
          {"time_law", info.laws.time},
          {"workspace_law", info.laws.workspace},
          {"params", std::move(params)},
          {"aux", std::move(aux)},
          {"positions", std::move(positions)},
          {"takes_softcap", info.takes.softcap},
          {"takes_sink", info.takes.sink},
          {"takes_mask", info.takes_mask},
          {"has_scale", info.has_scale},
          {"has_dense_weights", info.has_dense_weights}};
}

}  // namespace attnbench::cli
