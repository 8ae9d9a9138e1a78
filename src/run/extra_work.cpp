#include "run/extra_work.h"

namespace attnbench::run {

double do_extra_work(std::int64_t units) {
  constexpr int kStepsPerUnit = 32;
  // Volatile ends: neither the start is known nor the result unused, so the chain is computed.
  volatile double start = 1.0;
  double value = start;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    for (int step = 0; step < kStepsPerUnit; ++step) value = value * 0.999999 + 1e-6;
  }
  volatile double result = value;
  return result;
}

}  // namespace attnbench::run
