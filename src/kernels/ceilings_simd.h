// The loops behind the measured ceilings, in the instruction set in use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attnbench::kernels {

/// Streams of independent work: enough to cover the latency of every multiply-add unit known.
constexpr std::int64_t kFmaStreams = 12;

/// `steps` fused multiply-adds on each of kFmaStreams vectors, which is
/// 2 * steps * kFmaStreams * vector_floats() FLOP. Returns a value that depends on all of them.
float fma_loop(std::int64_t steps);

/// The sum of 2^x over `count` values, `passes` times: the exponential of the attention kernels.
/// `count` is a multiple of 64, `x` 64-byte aligned, values at most 0.
float exp_loop(const float* x, std::size_t count, std::int64_t passes);

/// Reads `count` floats (a multiple of 128, 64-byte aligned) `passes` times.
float read_loop(const float* from, std::size_t count, std::int64_t passes);

/// Copies `count` floats (a multiple of 64, both 64-byte aligned) `passes` times; `streaming`
/// writes around the caches.
void copy_loop(float* to, const float* from, std::size_t count, std::int64_t passes,
               bool streaming);

}  // namespace attnbench::kernels
