#include "kernels/residue_class.h"

#include <cstring>

namespace attnbench::kernels {

ResidueClass residue_class(const Problem& p, std::int64_t stride, std::int64_t residue) {
  ResidueClass c;
  c.stride = stride;
  c.first_query = ((residue - p.diagonal()) % stride + stride) % stride;
  c.queries = c.first_query < p.seq_q ? (p.seq_q - c.first_query + stride - 1) / stride : 0;
  c.first_position = floor_div(c.first_query + p.diagonal(), stride);
  return c;
}

std::int64_t class_keys(std::int64_t length, std::int64_t stride, std::int64_t residue) {
  return length > residue ? (length - residue + stride - 1) / stride : 0;
}

std::int64_t class_keys_limit(const Problem& p, std::int64_t stride) {
  return (p.seq_k + stride - 1) / stride;
}

void copy_rows(const ConstTensorView& from, const HeadIndex& at, std::int64_t first,
               std::int64_t step, std::int64_t count, float* to) {
  const std::int64_t dim = from.shape[3];
  for (std::int64_t u = 0; u < count; ++u) {
    std::memcpy(to + u * dim, from.row(at.batch, at.head, first + u * step),
                static_cast<std::size_t>(dim) * sizeof(float));
  }
}

}  // namespace attnbench::kernels
