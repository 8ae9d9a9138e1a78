// Which instruction sets the kernels are compiled for. Include before any Highway header.
//
// Highway compiles a unit once per target and chooses at run time. Three are enough here: the
// baseline (SSE2, or scalar in older versions of Highway; for completeness, not for speed), AVX2
// with FMA (1 << 9) and AVX-512 F/BW/DQ/VL/CD (1 << 8). The bits below are the x86 targets between
// and above these; numbers, because not every Highway version names all of them.
#pragma once

#define HWY_DISABLED_TARGETS ((1LL << 11) | (1LL << 12) | 0xffLL)
