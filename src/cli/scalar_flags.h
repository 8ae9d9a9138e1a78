// Flags that take one value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "attention/result.h"

namespace attnbench::cli {

/// One integer in [minimum, maximum]; 4k = 4096. `flag` ("--threads") is named in errors.
Result<std::int64_t> parse_integer(const std::string& text, const std::string& flag,
                                   std::int64_t minimum, std::int64_t maximum);
/// Thread counts: an integer from 1 to 4096, or "all".
Result<int> parse_threads(const std::string& text);
/// 0 to 2^64 - 1.
Result<std::uint64_t> parse_seed(const std::string& text);
/// A finite number.
Result<double> parse_number(const std::string& text, const std::string& flag);
/// "on" or "off" (and what config accepts for them), one value.
Result<bool> parse_switch(const std::string& text, const std::string& flag);

/// "name=value" texts as a map; refuses a missing '=', an empty name, and repeats.
Result<std::map<std::string, std::string>> parse_assignments(const std::vector<std::string>& texts,
                                                             const std::string& flag);

}  // namespace attnbench::cli
