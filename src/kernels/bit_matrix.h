// A matrix of 64 x 64 bits. Internal to kernels/.
#pragma once

#include <hwy/base.h>

#include <cstdint>

namespace attnbench::kernels {

/// Transposes 64 x 64 bits: bit j of rows[i] changes places with bit i of rows[j]. Halves of blocks
/// swap places, from blocks of 64 down to 2. Compiled for the instruction set of its caller.
HWY_INLINE void transpose_bits(std::uint64_t (&rows)[64]) {
  std::uint64_t low = 0x00000000FFFFFFFFULL;
#pragma GCC unroll 6
  for (int width = 32; width != 0; width >>= 1, low ^= low << width) {
    for (int block = 0; block < 64; block += 2 * width) {
      for (int i = block; i < block + width; ++i) {
        const std::uint64_t swapped = ((rows[i] >> width) ^ rows[i + width]) & low;
        rows[i] ^= swapped << width;
        rows[i + width] ^= swapped;
      }
    }
  }
}

}  // namespace attnbench::kernels
