// Variants as JSON, for list and describe.
#pragma once

#include <nlohmann/json.hpp>

#include "attention/variant.h"

namespace attnbench::cli {

/// Everything in VariantInfo.
nlohmann::ordered_json variant_json(const VariantInfo& info);

std::string_view to_string(ParamSpec::Type type);

}  // namespace attnbench::cli
