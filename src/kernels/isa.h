// Which instruction set the kernels use. Chosen once per process, before the first kernel call.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"

namespace attnbench::kernels {

/// Restricts the kernels: "auto" (the best this machine has), "avx2", "avx512". A usage error when
/// the word is unknown or this machine has no such instructions.
Status select_isa(std::string_view text);
/// The instruction set in use: "avx512", "avx2", "sse2", ...
std::string active_isa();
/// What this machine and this binary have in common, best first.
std::vector<std::string> available_isas();
/// Floats in one vector register of the instruction set in use.
int vector_floats();

}  // namespace attnbench::kernels
