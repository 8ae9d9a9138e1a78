#include "kernels/core_kind.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <array>
#include <cstring>
#endif

namespace attnbench::kernels {
namespace {

bool this_core_asks_rows_near() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return false;
  std::array<char, 12> vendor{};
  std::memcpy(vendor.data(), &ebx, 4);
  std::memcpy(vendor.data() + 4, &edx, 4);
  std::memcpy(vendor.data() + 8, &ecx, 4);
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return false;
  const unsigned base = eax >> 8 & 15U, extended = eax >> 20 & 255U;
  const unsigned family = base == 15 ? base + extended : base;
  return asks_rows_near({vendor.data(), vendor.size()}, static_cast<int>(family));
#else
  return false;
#endif
}

}  // namespace

bool asks_rows_near(std::string_view vendor, int family) {
  // Zen 5 forgets requests to its second-level cache that follow each other at once. Zen 4 forgets
  // none, but few can be on their way to its first-level cache.
  constexpr int kZen5Family = 26;
  return vendor == "AuthenticAMD" && family == kZen5Family;
}

bool asks_rows_near() {
  static const bool near = this_core_asks_rows_near();
  return near;
}

}  // namespace attnbench::kernels
