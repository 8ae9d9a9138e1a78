// Whole text files.
#pragma once

#include <string>

#include "attention/result.h"

namespace attnbench::config {

/// The bytes of a file, or an io error that says why it cannot be read.
Result<std::string> read_text_file(const std::string& path);

}  // namespace attnbench::config
