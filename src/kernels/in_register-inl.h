// A vector in a register, compiled once per instruction set.

#if defined(ATTNBENCH_KERNELS_IN_REGISTER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTNBENCH_KERNELS_IN_REGISTER_INL_H_
#undef ATTNBENCH_KERNELS_IN_REGISTER_INL_H_
#else
#define ATTNBENCH_KERNELS_IN_REGISTER_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace attnbench::kernels {
namespace HWY_NAMESPACE {

/// v, just loaded, kept for all its uses. GCC makes a load of two to four uses a memory operand of
/// each (12 does): a register tile of 8 multiply-adds that needs 6 loads has 10 then, and waits for
/// them where a core has two in a cycle.
template <class V>
HWY_INLINE V in_register(V v) {
#if HWY_ARCH_X86
  asm("" : "+v"(v.raw));
#endif
  return v;
}

}  // namespace HWY_NAMESPACE
}  // namespace attnbench::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
