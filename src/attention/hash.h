// FNV-1a, 64 bits: short, stable names for cases, machines and files. Not for anything adversarial.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace attnbench {

/// `hash` continues an earlier one.
constexpr std::uint64_t fnv1a64(std::string_view bytes,
                                std::uint64_t hash = 0xcbf29ce484222325ULL) {
  for (char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

/// Sixteen lower-case hexadecimal digits.
inline std::string hex16(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 0xf];
  return text;
}

}  // namespace attnbench
