// The one place that knows oneDNN, versions 2.6 (Debian 12) to 3.x (Debian 13, Ubuntu 24.04).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace attnbench::kernels {

/// C[rows][columns] = alpha * A[rows][depth] * op(B), row-major, on the calling thread.
/// op(B) is B[depth][columns], or with `b_transposed` the transpose of B[columns][depth].
/// Throws std::bad_alloc or std::runtime_error (oneDNN's status).
///
/// No signal handler may run on the calling thread's stack meanwhile: the generated code of oneDNN
/// 2.6 keeps data further below the stack pointer than the ABI's red zone, and a handler's frame
/// overwrites it. Handlers take a stack of their own (SA_ONSTACK) or run on another thread.
void onednn_gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, float alpha,
                 const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                 bool b_transposed, float* c, std::int64_t ldc);

/// Holds oneDNN to "avx2" or "avx512"; only before its first product. False when it was too late.
bool onednn_limit_isa(std::string_view isa);

/// "2.6.3".
std::string onednn_version();

}  // namespace attnbench::kernels
