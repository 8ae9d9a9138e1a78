// How the heads of feature attention are cut for threads. Internal to kernels/.
#pragma once

#include <cstdint>

#include "attention/problem.h"
#include "kernels/feature_chunk.h"

namespace attnbench::kernels {

inline std::int64_t chunks_of(std::int64_t rows) {
  return (rows + kFeatureChunk - 1) / kFeatureChunk;
}

/// How the key-value heads of a call are cut: the first `whole` not at all, the others into as many
/// segments each, of their keys or, causal, of their chunks of queries.
struct HeadCuts {
  std::int64_t heads = 0;
  std::int64_t whole = 0;
  std::int64_t segments = 1;
  std::int64_t chunks = 0;         ///< Of queries, of a causal head.
  std::int64_t first_segment = 0;  ///< Chunks of its first segment; the others share the rest.

  std::int64_t cut() const { return heads - whole; }
  std::int64_t segments_of(std::int64_t head) const { return head < whole ? 1 : segments; }
  /// The first chunk of a causal head's segment; all chunks, of one beyond the last.
  std::int64_t first_chunk(std::int64_t head, std::int64_t segment) const {
    const std::int64_t others = segments_of(head) - 1;
    if (segment == 0) return 0;
    if (segment > others) return chunks;
    return first_segment + (chunks - first_segment) * (segment - 1) / others;
  }
  std::int64_t states() const { return whole + cut() * segments; }
  /// Which of them is a segment's.
  std::int64_t state(std::int64_t head, std::int64_t segment) const {
    return head < whole ? head : whole + (head - whole) * segments + segment;
  }
};

/// Without a mask, segments of keys where heads would leave threads without work. Causal, as many
/// heads as the threads share evenly stay whole; a head in segments is done sooner, but its
/// segments' first states take absorbing their keys once more.
HeadCuts cut_heads(const FeatureShape& shape, const Problem& problem, int threads);

}  // namespace attnbench::kernels
