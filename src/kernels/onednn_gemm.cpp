#include "kernels/onednn_gemm.h"

#include <dnnl.h>

#include <new>
#include <stdexcept>

namespace attnbench::kernels {

void onednn_gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, float alpha,
                 const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                 bool b_transposed, float* c, std::int64_t ldc) {
  const dnnl_status_t status = dnnl_sgemm('N', b_transposed ? 'T' : 'N', rows, columns, depth,
                                          alpha, a, lda, b, ldb, 0.0F, c, ldc);
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
  if (status != dnnl_success) {
    throw std::runtime_error("oneDNN: dnnl_sgemm failed with status " + std::to_string(status));
  }
}

bool onednn_limit_isa(std::string_view isa) {
  // dnnl_cpu_isa_all in oneDNN 2, dnnl_cpu_isa_default in oneDNN 3.
  constexpr auto kUnrestricted = static_cast<dnnl_cpu_isa_t>(0);
  const dnnl_cpu_isa_t limit = isa == "avx2"     ? dnnl_cpu_isa_avx2
                               : isa == "avx512" ? dnnl_cpu_isa_avx512_core
                                                 : kUnrestricted;
  return dnnl_set_max_cpu_isa(limit) == dnnl_success;
}

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace attnbench::kernels
