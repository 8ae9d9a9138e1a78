// Shared by the JSON writers and readers of this room.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "attention/result.h"

namespace attnbench {

/// Keeps keys in the order they were added.
using OrderedJson = nlohmann::ordered_json;

/// Indented text with a line end; bytes that are not UTF-8 are replaced.
std::string dump_json(const OrderedJson& json);
/// Errors name the source and the place.
Result<OrderedJson> parse_json(std::string_view text, const std::string& source);

}  // namespace attnbench
