#include "attention/problem.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace attnbench {
namespace {

template <class Enum, std::size_t N>
Result<Enum> parse_word(std::string_view text, std::string_view what,
                        const std::pair<std::string_view, Enum> (&words)[N]) {
  std::string accepted;
  for (const auto& [word, value] : words) {
    if (word == text) return value;
    accepted += (accepted.empty() ? "" : ", ") + std::string(word);
  }
  return usage_error(fmt::format("{} '{}' is not one of {}", what, text, accepted));
}

/// What is done to rows and logits beside the product.
Status validate_scores(const Problem& p) {
  if (p.position == Position::rope && p.dim_qk % 2 != 0) {
    return usage_error(fmt::format("rope turns pairs of dimensions, and dim {} is odd", p.dim_qk));
  }
  if (!(p.rope.base > 1 && std::isfinite(p.rope.base))) {
    return usage_error(fmt::format("rope-base {} is not a number above 1", p.rope.base));
  }
  if (p.softcap && !(*p.softcap > 0 && std::isfinite(*p.softcap))) {
    return usage_error(fmt::format("softcap {} is not a number above 0", *p.softcap));
  }
  if (!p.sink.empty() && static_cast<std::int64_t>(p.sink.size()) != p.heads_q) {
    return usage_error(
        fmt::format("the sink has {} logits, heads is {}", p.sink.size(), p.heads_q));
  }
  return ok_status();
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::self:
      return "self";
    case Mode::cross:
      return "cross";
    case Mode::decode:
      return "decode";
    case Mode::generate:
      return "generate";
  }
  return "";
}

std::string_view to_string(Pass pass) { return pass == Pass::fwd ? "fwd" : "fwd+bwd"; }

std::string_view to_string(Layout layout) { return layout == Layout::bhnd ? "bhnd" : "bnhd"; }

std::string_view to_string(Position position) {
  switch (position) {
    case Position::none:
      return "none";
    case Position::sinusoidal:
      return "sinusoidal";
    case Position::rope:
      return "rope";
    case Position::alibi:
      return "alibi";
  }
  return "";
}

Result<Mode> parse_mode(std::string_view text) {
  return parse_word<Mode>(text, "mode",
                          {{"self", Mode::self},
                           {"cross", Mode::cross},
                           {"decode", Mode::decode},
                           {"generate", Mode::generate}});
}

Result<Pass> parse_pass(std::string_view text) {
  return parse_word<Pass>(text, "pass", {{"fwd", Pass::fwd}, {"fwd+bwd", Pass::fwd_bwd}});
}

Result<Layout> parse_layout(std::string_view text) {
  return parse_word<Layout>(text, "layout", {{"bhnd", Layout::bhnd}, {"bnhd", Layout::bnhd}});
}

Result<Position> parse_position(std::string_view text) {
  return parse_word<Position>(text, "position",
                              {{"none", Position::none},
                               {"sinusoidal", Position::sinusoidal},
                               {"rope", Position::rope},
                               {"alibi", Position::alibi}});
}

double Problem::scale_or_default() const {
  return scale ? *scale : 1.0 / std::sqrt(static_cast<double>(dim_qk));
}

std::string Problem::describe() const {
  std::string text = fmt::format("B={} Hq={} Hkv={} Nq={} Nk={} D={} Dv={}{}", batch, heads_q,
                                 heads_kv, seq_q, seq_k, dim_qk, dim_v, causal ? " causal" : "");
  if (layout != Layout::bhnd) text += " bnhd";
  if (!key_lengths.empty()) text += " key-lengths";
  if (mask != nullptr) text += " mask";
  if (position != Position::none) text += fmt::format(" {}", to_string(position));
  if (rope.interleaved) text += " rope-pairs=interleaved";
  if (rope.base != Rope().base) text += fmt::format(" rope-base={}", rope.base);
  if (softcap) text += fmt::format(" softcap={}", *softcap);
  if (!sink.empty()) text += " sink";
  return text;
}

std::string Problem::params_text(const std::string& variant_params) const {
  std::vector<std::string> more;
  if (rope.base != Rope().base) more.push_back(fmt::format("rope-base={}", rope.base));
  if (rope.interleaved) more.emplace_back("rope-pairs=interleaved");
  if (sink.empty() && !softcap && more.empty()) return variant_params;
  std::vector<std::string> all = std::move(more);
  for (std::size_t from = 0; from < variant_params.size();) {
    const std::size_t end = std::min(variant_params.find(';', from), variant_params.size());
    all.push_back(variant_params.substr(from, end - from));
    from = end + 1;
  }
  if (softcap) all.push_back(fmt::format("softcap={}", *softcap));
  if (!sink.empty()) all.emplace_back("sink=true");
  std::ranges::sort(all, {},
                    [](const std::string& text) { return text.substr(0, text.find('=')); });
  return fmt::format("{}", fmt::join(all, ";"));
}

std::string mask_text(const Problem& p) {
  std::string text;
  if (!p.key_lengths.empty()) {
    text = p.key_lengths_name.empty() ? "key-lengths" : p.key_lengths_name;
  }
  if (p.mask != nullptr) text += (text.empty() ? "" : ";") + p.mask->name();
  return text.empty() ? "none" : text;
}

namespace {

Status check_mask(const Problem& p) {
  const AttentionMask& m = *p.mask;
  const auto fits = [](std::int64_t size, std::int64_t whole) {
    return size == 1 || size == whole;
  };
  const std::int64_t block = m.block();
  const auto rounded = [block](std::int64_t size) { return (size + block - 1) / block * block; };
  if (fits(m.batch(), p.batch) && fits(m.heads(), p.heads_q) && fits(m.seq_q(), rounded(p.seq_q)) &&
      m.seq_k() == rounded(p.seq_k)) {
    return ok_status();
  }
  const std::string blocks = block > 1 ? fmt::format(", in blocks of {}", block) : "";
  return usage_error(fmt::format(
      "the mask {} is {}{}; accepted are [B, H, Nq, Nk] = [{}, {}, {}, {}] with B, H or "
      "Nq also 1",
      m.name(), m.shape_text(), blocks, p.batch, p.heads_q, rounded(p.seq_q), rounded(p.seq_k)));
}

}  // namespace

Status validate(const Problem& p) {
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"batch", p.batch}, {"heads", p.heads_q}, {"kv-heads", p.heads_kv}, {"seq", p.seq_q},
      {"seq-k", p.seq_k}, {"dim", p.dim_qk},    {"dim-v", p.dim_v}};
  for (const auto& [name, size] : sizes) {
    if (size < 1) return usage_error(fmt::format("{} {} is not a positive size", name, size));
  }
  if (p.heads_q % p.heads_kv != 0) {
    return usage_error(
        fmt::format("heads {} is not a multiple of kv-heads {}", p.heads_q, p.heads_kv));
  }
  if (!p.key_lengths.empty() && static_cast<std::int64_t>(p.key_lengths.size()) != p.batch) {
    return usage_error(
        fmt::format("key-lengths has {} entries, batch is {}", p.key_lengths.size(), p.batch));
  }
  for (std::int64_t length : p.key_lengths) {
    if (length < 0 || length > p.seq_k) {
      return usage_error(
          fmt::format("key length {} is outside [0, {}], the number of keys", length, p.seq_k));
    }
  }
  if (Status status = validate_scores(p); !status) return status;
  return p.mask == nullptr ? ok_status() : check_mask(p);
}

bool base_mask_allows(const Problem& p, std::int64_t b, std::int64_t i, std::int64_t j) {
  return j < p.key_length(b) && (!p.causal || j <= i + p.diagonal());
}

std::int64_t readable_keys(const Problem& p, std::int64_t b, std::int64_t i) {
  const std::int64_t keys = p.key_length(b);
  return p.causal ? std::clamp<std::int64_t>(i + p.diagonal() + 1, 0, keys) : keys;
}

double allowed_pairs(const Problem& p) {
  // Heads differ only under a mask that has one plane each.
  const bool per_head = p.mask != nullptr && p.mask->per_head();
  double pairs = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t h = 0; h < (per_head ? p.heads_q : 1); ++h) {
      for (std::int64_t i = 0; i < p.seq_q; ++i) {
        const std::int64_t keys = readable_keys(p, b, i);
        pairs += static_cast<double>(p.mask == nullptr ? keys : p.mask->count(b, h, i, keys));
      }
    }
  }
  return per_head ? pairs : pairs * static_cast<double>(p.heads_q);
}

double dense_flops(const Problem& p) {
  return 2.0 * allowed_pairs(p) * static_cast<double>(p.dim_qk + p.dim_v);
}

double compulsory_bytes(const Problem& p) {
  const auto d = [](std::int64_t x) { return static_cast<double>(x); };
  double keys = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) keys += d(p.key_length(b));
  const double queries = d(p.batch) * d(p.heads_q) * d(p.seq_q);
  return 4.0 * (queries + keys * d(p.heads_kv)) * d(p.dim_qk + p.dim_v) +
         4.0 * static_cast<double>(p.sink.size()) +
         (p.mask == nullptr ? 0.0 : p.mask->stored_bytes());
}

}  // namespace attnbench
