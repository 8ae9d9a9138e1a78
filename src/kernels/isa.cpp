#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/isa.cpp"
#include "kernels/simd_targets.h"
// foreach_target.h re-includes this file once per target, before the code below.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/isa.h"

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

std::int64_t target_in_use() { return HWY_TARGET; }
int lanes_in_use() { return static_cast<int>(hn::Lanes(hn::ScalableTag<float>())); }

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/onednn_gemm.h"

namespace attnbench::kernels {
namespace {

HWY_EXPORT(target_in_use);
HWY_EXPORT(lanes_in_use);

struct IsaName {
  std::int64_t target;
  const char* name;
};
// Bits as in hwy/detect_targets.h; all at or above a bit's strength are numerically smaller.
constexpr IsaName kNames[] = {{1LL << 8, "avx512"}, {1LL << 9, "avx2"}, {1LL << 14, "sse2"}};

std::string name_of(std::int64_t target) {
  for (const IsaName& isa : kNames) {
    if (isa.target == target) return isa.name;
  }
  return hwy::TargetName(target);
}

/// What the machine supports, whatever was selected before.
std::int64_t supported_targets() {
  hwy::SetSupportedTargetsForTest(0);
  return hwy::SupportedTargets() & HWY_TARGETS;
}

void use_targets(std::int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

std::int64_t& selected_targets() {
  static std::int64_t targets = 0;
  return targets;
}

}  // namespace

Status select_isa(std::string_view text) {
  const std::int64_t supported = supported_targets();
  std::int64_t wanted = 0;
  if (text == "auto") {
    wanted = supported;
  } else if (text == "avx512") {
    wanted = supported & ~((1LL << 8) - 1);
    if ((supported & (1LL << 8)) == 0) wanted = 0;
  } else if (text == "avx2") {
    wanted = supported & ~((1LL << 9) - 1);
    if ((supported & (1LL << 9)) == 0) wanted = 0;
  } else {
    use_targets(selected_targets() != 0 ? selected_targets() : supported);
    return usage_error(fmt::format("isa '{}' is not one of auto, avx2, avx512", text));
  }
  if (wanted == 0) {
    use_targets(selected_targets() != 0 ? selected_targets() : supported);
    return usage_error(fmt::format("isa '{}' is not available on this machine, which has {}", text,
                                   fmt::join(available_isas(), ", ")));
  }
  selected_targets() = wanted;
  use_targets(wanted);
  // oneDNN takes a limit only before its first product; a process that selects once is in time.
  if (text != "auto") onednn_limit_isa(text);
  return ok_status();
}

std::string active_isa() { return name_of(HWY_DYNAMIC_DISPATCH(target_in_use)()); }

std::vector<std::string> available_isas() {
  const std::int64_t supported = supported_targets();
  if (selected_targets() != 0) use_targets(selected_targets());
  std::vector<std::string> names;
  for (std::int64_t bits = supported; bits != 0; bits &= bits - 1) {
    names.push_back(name_of(bits & -bits));
  }
  return names;
}

int vector_floats() { return HWY_DYNAMIC_DISPATCH(lanes_in_use)(); }

}  // namespace attnbench::kernels
#endif  // HWY_ONCE
