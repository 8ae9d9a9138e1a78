#include "attention/executor.h"

#include <cstring>
#include <stdexcept>

namespace attnbench {

Workspace::Workspace(std::size_t bytes)
    : block_((bytes + sizeof(float) - 1) / sizeof(float)), capacity_(bytes) {
  if (capacity_ > 0) std::memset(block_.data(), 0, capacity_);
}

float* Workspace::take(std::size_t count) {
  const std::size_t bytes = workspace_take_bytes(count);
  if (used_ + bytes > capacity_) {
    throw std::length_error("workspace of " + std::to_string(capacity_) + " bytes is too small: " +
                            std::to_string(used_ + bytes) + " bytes are taken");
  }
  float* p = block_.data() + used_ / sizeof(float);
  used_ += bytes;
  if (used_ > peak_) peak_ = used_;
  return p;
}

}  // namespace attnbench
