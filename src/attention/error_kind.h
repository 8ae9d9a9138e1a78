// The kind of an error as a word, for answers to other programs.
#pragma once

#include <string_view>

#include "attention/result.h"

namespace attnbench {

/// "usage", "unsupported" or "out-of-memory"; "failed" for everything else.
inline std::string_view kind_name(const Error& error) {
  switch (error.kind) {
    case Error::Kind::unsupported:
      return "unsupported";
    case Error::Kind::usage:
      return "usage";
    case Error::Kind::out_of_memory:
      return "out-of-memory";
    default:
      return "failed";
  }
}

}  // namespace attnbench
