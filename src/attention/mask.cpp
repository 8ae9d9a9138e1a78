#include "attention/mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <string_view>

#include "attention/aux_tensor.h"
#include "attention/file_elements.h"
#include "attention/hash.h"
#include "attention/key_lengths.h"

namespace attnbench {
namespace {

template <class T>
std::string_view bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

std::string AttentionMask::shape_text() const {
  return attnbench::shape_text({batch_, heads_, seq_q_, seq_k_});
}

double AttentionMask::stored_bytes() const {
  const double pairs = static_cast<double>(batch_ * heads_ * seq_q_) * static_cast<double>(seq_k_);
  const auto entry = static_cast<double>(seq_q_ > 1 ? block_ * block_ : block_);
  return is_additive() ? pairs * sizeof(float) : pairs / entry / 8;
}

Result<std::shared_ptr<const AttentionMask>> AttentionMask::from_array(const NpyArray& array,
                                                                       const std::string& path) {
  const std::size_t rank = array.shape.size();
  const bool boolean = array.dtype == "|b1" || array.dtype == "|u1";
  const bool empty = std::ranges::find(array.shape, 0) != array.shape.end();
  if ((array.is_integer && !boolean) || rank < 2 || rank > 4 || empty) {
    return io_error(
        fmt::format("{}: holds {} '{}'; accepted are masks [Nq, Nk], [H, Nq, Nk] or [B, H, Nq, Nk] "
                    "of bool or uint8 (1: the query reads the key) or of floats (added to the "
                    "logits)",
                    path, attnbench::shape_text(array.shape), array.dtype));
  }
  std::shared_ptr<AttentionMask> mask(new AttentionMask);
  mask->seq_k_ = array.shape[rank - 1];
  mask->seq_q_ = array.shape[rank - 2];
  if (rank > 2) mask->heads_ = array.shape[rank - 3];
  if (rank > 3) mask->batch_ = array.shape[0];
  mask->words_ = mask->seq_k_ / 64 + 2;
  mask->bits_.resize(
      static_cast<std::size_t>(mask->batch_ * mask->heads_ * mask->seq_q_ * mask->words_));
  const Status taken = boolean ? mask->take_booleans(array, path) : mask->take_values(array, path);
  if (!taken) return taken.error();
  mask->finish(path);
  return std::shared_ptr<const AttentionMask>(std::move(mask));
}

void AttentionMask::finish(const std::string& path) {
  blocks_.clear();
  summarise();
  const std::string start = shape_text() + (is_additive() ? "f" : "b");
  const std::uint64_t hash = fnv1a64(bytes_of(bits_), fnv1a64(start));
  name_ = content_name(path, fnv1a64(bytes_of(values_), hash));
}

Result<std::shared_ptr<const AttentionMask>> AttentionMask::from_blocks(const NpyArray& array,
                                                                        const std::string& path,
                                                                        std::int64_t block) {
  const auto entries = from_array(array, path);
  if (!entries || block == 1) return entries;
  if ((*entries)->is_additive()) {
    return io_error(fmt::format("{}: holds '{}'; accepted as a mask of blocks are bool and uint8",
                                path, array.dtype));
  }
  std::shared_ptr<AttentionMask> mask(new AttentionMask(**entries));
  mask->expand(block);
  mask->finish(path);
  return std::shared_ptr<const AttentionMask>(std::move(mask));
}

void AttentionMask::expand(std::int64_t block) {
  const AttentionMask entries = *this;
  block_ = block;
  const std::int64_t rows_per_entry = seq_q_ > 1 ? block : 1;
  seq_q_ *= rows_per_entry;
  seq_k_ *= block;
  words_ = seq_k_ / 64 + 2;
  bits_.assign(static_cast<std::size_t>(batch_ * heads_ * seq_q_ * words_), 0);
  auto row = bits_.begin();
  for (std::int64_t from = 0; from < batch_ * heads_ * entries.seq_q_; ++from) {
    const std::uint64_t* words = entries.bits_.data() + from * entries.words_;
    for (std::int64_t j = 0; j < seq_k_; ++j) {
      const std::int64_t entry = j / block;
      row[j / 64] |= (words[entry / 64] >> (entry % 64) & 1) << (j % 64);
    }
    for (std::int64_t copy = 1; copy < rows_per_entry; ++copy) {
      std::copy_n(row, words_, row + copy * words_);
    }
    row += rows_per_entry * words_;
  }
}

Status AttentionMask::take_booleans(const NpyArray& array, const std::string& path) {
  const std::int64_t rows = batch_ * heads_ * seq_q_;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t* from = array.ints.data() + r * seq_k_;
    std::uint64_t* words = bits_.data() + r * words_;
    for (std::int64_t j = 0; j < seq_k_; ++j) {
      if (from[j] > 1) {
        return io_error(fmt::format("{}: element {} is {}; accepted are 0 and 1", path,
                                    index_text(array.shape, r * seq_k_ + j), from[j]));
      }
      words[j / 64] |= std::uint64_t{from[j] == 1} << (j % 64);
    }
  }
  return ok_status();
}

Status AttentionMask::take_values(const NpyArray& array, const std::string& path) {
  values_ = array.values;
  for (std::size_t at = 0; at < values_.size(); ++at) {
    float& value = values_[at];
    if (std::isnan(value) || value == INFINITY) {
      return io_error(fmt::format("{}: element {} is {}; accepted are finite values and -inf", path,
                                  index_text(array.shape, static_cast<std::int64_t>(at)),
                                  std::isnan(value) ? "nan" : "inf"));
    }
    const auto j = static_cast<std::int64_t>(at) % seq_k_;
    const auto r = static_cast<std::int64_t>(at) / seq_k_;
    if (value == -INFINITY) {
      value = 0;
    } else {
      value = std::clamp(value, -kLargestValue, kLargestValue);
      bits_[static_cast<std::size_t>(r * words_ + j / 64)] |= std::uint64_t{1} << (j % 64);
    }
  }
  return ok_status();
}

void AttentionMask::summarise() {
  block_rows_ = (seq_q_ + kBlockRows - 1) / kBlockRows;
  block_columns_ = (seq_k_ + kBlockKeys - 1) / kBlockKeys;
  static_assert(kBlockKeys == 64, "a block is as wide as a word");
  blocks_.reserve(static_cast<std::size_t>(batch_ * heads_ * block_rows_ * block_columns_));
  for (std::int64_t s = 0; s < batch_ * heads_; ++s) {
    for (std::int64_t first = 0; first < seq_q_; first += kBlockRows) {
      for (std::int64_t column = 0; column < block_columns_; ++column) {
        const std::int64_t keys = std::min<std::int64_t>(64, seq_k_ - column * 64);
        const std::uint64_t whole = ~std::uint64_t{0} >> (64 - keys);
        std::uint64_t any = 0, all = whole;
        bool added = false;
        const std::int64_t end = s * seq_q_ + std::min(first + kBlockRows, seq_q_);
        for (std::int64_t r = s * seq_q_ + first; r < end; ++r) {
          const std::uint64_t word = bits_[static_cast<std::size_t>(r * words_ + column)];
          any |= word;
          all &= word;
          if (values_.empty() || added) continue;
          const float* value = values_.data() + r * seq_k_ + column * 64;
          added = std::any_of(value, value + keys, [](float x) { return x != 0; });
        }
        blocks_.push_back(any == 0                 ? Block::none
                          : all == whole && !added ? Block::plain
                                                   : Block::mixed);
      }
    }
  }
}

std::int64_t AttentionMask::count(std::int64_t b, std::int64_t h, std::int64_t i,
                                  std::int64_t keys) const {
  const std::uint64_t* words = bits(b, h, i);
  std::int64_t total = 0;
  for (std::int64_t w = 0; w < keys / 64; ++w) total += std::popcount(words[w]);
  if (keys % 64 != 0) total += std::popcount(words[keys / 64] << (64 - keys % 64));
  return total;
}

AttentionMask::Block AttentionMask::summary(std::int64_t b, std::int64_t h, std::int64_t first,
                                            std::int64_t last, std::int64_t key_block) const {
  if (seq_q_ == 1) first = last = 0;
  const Block* at = blocks_.data() + slice(b, h) * block_rows_ * block_columns_ + key_block;
  const Block found = at[first / kBlockRows * block_columns_];
  for (std::int64_t row = first / kBlockRows + 1; row <= last / kBlockRows; ++row) {
    if (at[row * block_columns_] != found) return Block::mixed;
  }
  return found;
}

Result<std::shared_ptr<const AttentionMask>> load_mask(const std::string& text) {
  constexpr std::int64_t kLargestBlock = 1 << 16;
  std::string path = text;
  std::int64_t block = 1;
  const std::size_t colon = text.rfind(':');
  if (colon != std::string::npos && colon + 1 < text.size() &&
      text.find_first_not_of("0123456789", colon + 1) == std::string::npos) {
    path = text.substr(0, colon);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, block);
    if (error != std::errc{} || stop != end || block < 1 || block > kLargestBlock) {
      return io_error(fmt::format("{}: blocks of {}; accepted are 1 to {}", path,
                                  text.substr(colon + 1), kLargestBlock));
    }
  }
  const auto array = read_npy(path, NonFinite::accept);
  if (!array) return array.error();
  return AttentionMask::from_blocks(*array, path, block);
}

}  // namespace attnbench
