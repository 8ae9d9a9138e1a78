#include "run/arena_pool.h"

namespace attnbench::run {

kernels::ThreadArena& ArenaPool::at(int threads) {
  if (arena_ == nullptr || arena_->threads() != threads) {
    arena_.reset();  // Before the next one is made: never two at once.
    arena_ = std::make_unique<kernels::ThreadArena>(threads);
  }
  return *arena_;
}

}  // namespace attnbench::run
