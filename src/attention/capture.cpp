#include "attention/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "attention/aux_tensor.h"
#include "attention/file_elements.h"
#include "attention/npy.h"
#include "attention/safetensors.h"

namespace attnbench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAccepted =
    "accepted: a .safetensors file with tensors q, k and v; a folder with q.npy, k.npy and v.npy; "
    "or .npy files PREFIX{}SUFFIX, with q, k and v in the place of {}";

/// One of Q, K, V as read, with the four sizes that it stands for.
struct Part {
  std::string where;  ///< For messages.
  FloatArray array;
  std::array<std::int64_t, 4> sizes{};  ///< B, H, N, D.

  std::string describe() const { return where + " " + shape_text(array.shape); }
};

/// Where tensor `name` of the capture at `path` is.
std::string npy_path(const std::string& path, const std::string& name) {
  const std::size_t braces = path.find("{}");
  if (braces != std::string::npos) return std::string(path).replace(braces, 2, name);
  return (fs::path(path) / (name + ".npy")).string();
}

Result<Part> read_part(const std::string& path, const std::string& name) {
  const bool safetensors = is_safetensors_path(path);
  auto array = safetensors ? read_safetensors(path, name) : read_npy_floats(npy_path(path, name));
  if (!array) return array.error();
  Part part{safetensors ? fmt::format("{}: tensor '{}'", path, name) : npy_path(path, name),
            std::move(*array),
            {1, 1, 1, 1}};
  const std::vector<std::int64_t>& shape = part.array.shape;
  if (shape.size() < 2 || shape.size() > 4) {
    return io_error(
        fmt::format("{}: has {} dimensions; accepted are [B, H, N, D], [H, N, D] and "
                    "[N, D]",
                    part.describe(), shape.size()));
  }
  if (std::ranges::find(shape, 0) != shape.end()) {
    return io_error(fmt::format("{}: is empty; every size must be at least 1", part.describe()));
  }
  std::ranges::copy_backward(shape, part.sizes.end());
  return part;
}

Status agree(const Part& a, const Part& b, std::size_t axis, const char* meaning) {
  if (a.sizes[axis] == b.sizes[axis]) return ok_status();
  return io_error(fmt::format("{} differs: {} has {}, {} has {}", meaning, a.describe(),
                              a.sizes[axis], b.describe(), b.sizes[axis]));
}

Status check_parts(const Part& q, const Part& k, const Part& v) {
  const std::array<Status, 5> checks{agree(q, k, 0, "batch size B"), agree(k, v, 0, "batch size B"),
                                     agree(k, v, 1, "number of key-value heads"),
                                     agree(k, v, 2, "number of keys N"),
                                     agree(q, k, 3, "head dimension D")};
  for (const Status& status : checks) {
    if (!status) return status;
  }
  if (q.sizes[1] % k.sizes[1] == 0) return ok_status();
  return io_error(
      fmt::format("query heads must be a multiple of key-value heads: {} has {}, {} "
                  "has {}",
                  q.describe(), q.sizes[1], k.describe(), k.sizes[1]));
}

/// A hash of shapes and values, eight hexadecimal digits: one multiplication per value (FNV-1a by
/// words). For telling files apart, not against forgery.
std::string content_hash(const std::array<const Part*, 3>& parts) {
  constexpr std::uint64_t kPrime = 0x100000001b3ULL;
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const Part* part : parts) {
    for (const std::int64_t size : part->sizes) {
      hash = (hash ^ static_cast<std::uint64_t>(size)) * kPrime;
    }
    for (const float value : part->array.values) {
      hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * kPrime;
    }
  }
  // A product's low bits depend on the low bits of its factors alone: take the others in.
  return fmt::format("{:08x}", static_cast<std::uint32_t>(hash ^ (hash >> 32)));
}

Tensor to_tensor(const Part& part) {
  Tensor tensor(part.sizes, Layout::bhnd);
  std::ranges::copy(part.array.values, tensor.buffer().data());
  return tensor;
}

/// The last component of a path, of a folder too.
std::string short_name(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  const fs::path name = normal.has_filename() ? normal.filename() : normal.parent_path().filename();
  return name.empty() ? path : name.string();
}

/// Rows [first, first + shape[2]) of every head, in another layout.
Tensor cut(const Tensor& from, std::int64_t first, std::int64_t rows, Layout layout) {
  std::array<std::int64_t, 4> shape = from.shape();
  shape[2] = rows;
  Tensor to(shape, layout);
  const TensorView target = to.view();
  const ConstTensorView source = from.view();
  for (std::int64_t b = 0; b < shape[0]; ++b) {
    for (std::int64_t h = 0; h < shape[1]; ++h) {
      for (std::int64_t n = 0; n < rows; ++n) {
        std::copy_n(source.row(b, h, first + n), shape[3], target.row(b, h, n));
      }
    }
  }
  return to;
}

}  // namespace

double Capture::bytes() const {
  const auto count =
      tensors.q.buffer().size() + tensors.k.buffer().size() + tensors.v.buffer().size();
  return static_cast<double>(count * sizeof(float));
}

bool is_capture(std::string_view input) { return input.starts_with(kCapturePrefix); }

Result<std::shared_ptr<const Capture>> load_capture(const std::string& text) {
  const std::string path(std::string_view(text).substr(kCapturePrefix.size()));
  std::error_code code;
  const bool readable = is_safetensors_path(path) || path.find("{}") != std::string::npos ||
                        fs::is_directory(path, code);
  if (!readable) return io_error(fmt::format("input '{}': {}", text, kAccepted));
  auto q = read_part(path, "q");
  if (!q) return q.error();
  auto k = read_part(path, "k");
  if (!k) return k.error();
  auto v = read_part(path, "v");
  if (!v) return v.error();
  if (Status status = check_parts(*q, *k, *v); !status) return status.error();
  auto capture = std::make_shared<Capture>();
  capture->text = text;
  capture->label =
      fmt::format("{}{}#{}", kCapturePrefix, short_name(path), content_hash({&*q, &*k, &*v}));
  capture->shape.batch = q->sizes[0];
  capture->shape.heads_q = q->sizes[1];
  capture->shape.heads_kv = k->sizes[1];
  capture->shape.seq_q = q->sizes[2];
  capture->shape.seq_k = k->sizes[2];
  capture->shape.dim_qk = q->sizes[3];
  capture->shape.dim_v = v->sizes[3];
  capture->tensors = {to_tensor(*q), to_tensor(*k), to_tensor(*v)};
  return std::shared_ptr<const Capture>(std::move(capture));
}

Result<CaptureSet> load_captures(const std::vector<std::string>& inputs) {
  CaptureSet captures;
  for (const std::string& input : inputs) {
    if (!is_capture(input) || captures.contains(input)) continue;
    auto capture = load_capture(input);
    if (!capture) return capture.error();
    captures[input] = std::move(*capture);
  }
  return captures;
}

Problem with_capture_shape(Problem problem, const Capture& capture) {
  problem.batch = capture.shape.batch;
  problem.heads_q = capture.shape.heads_q;
  problem.heads_kv = capture.shape.heads_kv;
  problem.dim_qk = capture.shape.dim_qk;
  problem.dim_v = capture.shape.dim_v;
  return problem;
}

std::optional<std::string> capture_refusal(const Capture& capture, const Problem& problem) {
  const auto refuse = [&](std::int64_t asked, const char* what, std::int64_t recorded) {
    return fmt::format("{} {} asked for, {} has {}", asked, what, capture.label, recorded);
  };
  if (problem.seq_q > capture.shape.seq_q) {
    return refuse(problem.seq_q, "queries", capture.shape.seq_q);
  }
  if (problem.seq_k > capture.shape.seq_k) {
    return refuse(problem.seq_k, "keys", capture.shape.seq_k);
  }
  return std::nullopt;
}

InputTensors cut_inputs(const Capture& capture, const Problem& p) {
  const bool of_self = capture.shape.seq_q == capture.shape.seq_k;
  const std::int64_t first_query = of_self && p.seq_q <= p.seq_k ? p.seq_k - p.seq_q : 0;
  return {cut(capture.tensors.q, first_query, p.seq_q, p.layout),
          cut(capture.tensors.k, 0, p.seq_k, p.layout),
          cut(capture.tensors.v, 0, p.seq_k, p.layout)};
}

}  // namespace attnbench
