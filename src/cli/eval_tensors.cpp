#include "cli/eval_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "attention/key_lengths.h"
#include "attention/safetensors.h"
#include "attention/score_terms.h"
#include "cli/scalar_flags.h"

namespace attnbench::cli {
namespace {

/// A file's tensor with the four sizes that it stands for.
struct Loaded {
  std::string path;
  std::vector<std::int64_t> shape;      ///< As in the file.
  std::array<std::int64_t, 4> sizes{};  ///< B, H, N, D.
  Tensor tensor;

  std::string describe() const { return path + " " + shape_text(shape); }
};

const char* accepted_shapes(Layout layout) {
  return layout == Layout::bhnd ? "[B, H, N, D], [H, N, D] or [N, D]"
                                : "[B, N, H, D], [N, H, D] or [N, D]";
}

std::array<std::int64_t, 4> sizes_of(const std::vector<std::int64_t>& shape, Layout layout) {
  const std::size_t rank = shape.size();
  const std::int64_t batch = rank == 4 ? shape[0] : 1;
  const std::int64_t dim = shape[rank - 1];
  if (rank == 2) return {1, 1, shape[0], dim};
  if (layout == Layout::bhnd) return {batch, shape[rank - 3], shape[rank - 2], dim};
  return {batch, shape[rank - 2], shape[rank - 3], dim};
}

/// The tensor of an .npy file, or tensor `name` of a .safetensors file.
Result<FloatArray> read_floating(const std::string& path, const std::string& name) {
  if (is_safetensors_path(path)) return read_safetensors(path, name);
  return read_npy_floats(path);
}

Result<Loaded> load_tensor(const std::string& path, const std::string& name, Layout layout) {
  auto array = read_floating(path, name);
  if (!array) return array.error();
  const auto refuse = [&](const std::string& what) {
    return io_error(fmt::format("{}: {}", path, what));
  };
  const std::size_t rank = array->shape.size();
  if (rank < 2 || rank > 4) {
    return refuse(fmt::format("shape {} has {} dimensions; accepted are {}",
                              shape_text(array->shape), rank, accepted_shapes(layout)));
  }
  if (std::find(array->shape.begin(), array->shape.end(), 0) != array->shape.end()) {
    return refuse(
        fmt::format("shape {} is empty; every size must be at least 1", shape_text(array->shape)));
  }
  Loaded loaded{path, array->shape, sizes_of(array->shape, layout), {}};
  loaded.tensor = Tensor(loaded.sizes, layout);
  std::copy(array->values.begin(), array->values.end(), loaded.tensor.buffer().data());
  return loaded;
}

/// Sizes that must agree between two files.
Status agree(const Loaded& a, const Loaded& b, std::size_t axis, const char* meaning) {
  if (a.sizes[axis] == b.sizes[axis]) return ok_status();
  return usage_error(fmt::format("{} differs: {} has {}, {} has {}", meaning, a.describe(),
                                 a.sizes[axis], b.describe(), b.sizes[axis]));
}

Status check_shapes(const Loaded& q, const Loaded& k, const Loaded& v) {
  constexpr std::size_t kBatch = 0, kHeads = 1, kLength = 2, kDim = 3;
  const std::array<Status, 5> checks{
      agree(q, k, kBatch, "batch size B"), agree(k, v, kBatch, "batch size B"),
      agree(k, v, kHeads, "number of key-value heads"), agree(k, v, kLength, "number of keys N"),
      agree(q, k, kDim, "head dimension D")};
  for (const Status& status : checks) {
    if (!status) return status;
  }
  if (q.sizes[kHeads] % k.sizes[kHeads] != 0) {
    return usage_error(
        fmt::format("query heads must be a multiple of key-value heads: {} has {}, {} has {}",
                    q.describe(), q.sizes[kHeads], k.describe(), k.sizes[kHeads]));
  }
  return ok_status();
}

Result<std::vector<float>> load_sink(const std::string& path, std::int64_t heads) {
  auto array = read_npy(path);
  if (!array) return array.error();
  if (array->is_integer || array->shape != std::vector<std::int64_t>{heads}) {
    return io_error(fmt::format("{}: holds {} '{}'; accepted is a sink: floating point of shape {}",
                                path, shape_text(array->shape), array->dtype, shape_text({heads})));
  }
  return std::move(array->values);
}

}  // namespace

Result<EvalInputs> load_eval_inputs(const EvalRequest& request) {
  auto q = load_tensor(request.q_path, "q", request.layout);
  if (!q) return q.error();
  auto k = load_tensor(request.k_path, "k", request.layout);
  if (!k) return k.error();
  auto v = load_tensor(request.v_path, "v", request.layout);
  if (!v) return v.error();
  if (const Status status = check_shapes(*q, *k, *v); !status) return status.error();

  EvalInputs inputs;
  inputs.rank = q->shape.size();
  Problem& problem = inputs.problem;
  problem.batch = q->sizes[0];
  problem.heads_q = q->sizes[1];
  problem.heads_kv = k->sizes[1];
  problem.seq_q = q->sizes[2];
  problem.seq_k = k->sizes[2];
  problem.dim_qk = q->sizes[3];
  problem.dim_v = v->sizes[3];
  problem.causal = request.causal;
  problem.mode = problem.seq_q == problem.seq_k ? Mode::self : Mode::cross;
  problem.layout = request.layout;
  problem.scale = request.scale;
  problem.position = request.position;
  problem.rope = request.rope;
  problem.softcap = request.softcap;
  if (!request.sink_path.empty()) {
    auto sink = load_sink(request.sink_path, problem.heads_q);
    if (!sink) return sink.error();
    problem.sink = std::move(*sink);
  } else if (request.sink) {
    problem.sink = draw_sink(problem.heads_q, request.seed);
  }
  if (const Status status = validate(problem); !status) return status.error();
  if (!request.key_lengths_path.empty()) {
    auto lengths = load_key_lengths(request.key_lengths_path);
    if (!lengths) return lengths.error();
    problem.key_lengths = std::move(lengths->values);
    problem.key_lengths_name = std::move(lengths->name);
    if (const Status status = validate(problem); !status) {
      return usage_error(request.key_lengths_path + ": " + status.error().message);
    }
  }
  if (!request.mask_path.empty()) {
    auto mask = load_mask(request.mask_path);
    if (!mask) return mask.error();
    problem.mask = std::move(*mask);
    if (const Status status = validate(problem); !status) return status.error();
  }
  inputs.tensors = {std::move(q->tensor), std::move(k->tensor), std::move(v->tensor)};
  return inputs;
}

std::vector<std::int64_t> output_shape(const EvalInputs& inputs) {
  const Problem& p = inputs.problem;
  const std::vector<std::int64_t> full =
      p.layout == Layout::bhnd ? std::vector<std::int64_t>{p.batch, p.heads_q, p.seq_q, p.dim_v}
                               : std::vector<std::int64_t>{p.batch, p.seq_q, p.heads_q, p.dim_v};
  if (inputs.rank == 2) return {p.seq_q, p.dim_v};
  return {full.end() - static_cast<std::ptrdiff_t>(inputs.rank), full.end()};
}

Result<AuxSet> load_aux(const VariantInfo& info, const std::vector<std::string>& assignments) {
  const auto files = parse_assignments(assignments, "--aux");
  if (!files) return files.error();
  std::vector<std::string> known;
  std::string list;
  for (const AuxSpec& spec : info.aux) {
    known.push_back(spec.name);
    list += (list.empty() ? "" : ", ") + spec.name + " " + spec.shape;
  }
  AuxSet aux;
  for (const auto& [name, path] : *files) {
    const auto spec =
        std::find_if(info.aux.begin(), info.aux.end(),
                     [&name = name](const AuxSpec& each) { return each.name == name; });
    if (spec == info.aux.end()) {
      const auto nearest = nearest_word(name, known);
      return usage_error(fmt::format("--aux: {} has no auxiliary tensor '{}'; accepted: {}{}",
                                     info.name, name, list.empty() ? "none" : list,
                                     nearest ? "; did you mean " + *nearest + "?" : ""));
    }
    auto array = read_npy(path);
    if (!array) return array.error();
    if (spec->is_integer && !array->is_integer) {
      return io_error(fmt::format("{}: holds '{}'; {} {} is an integer tensor", path, array->dtype,
                                  name, spec->shape));
    }
    if (!spec->is_integer && array->is_integer) {
      array->values.assign(array->ints.begin(), array->ints.end());
      array->ints.clear();
    }
    aux[name] =
        AuxTensor{array->shape, std::move(array->values), std::move(array->ints), spec->is_integer};
  }
  return aux;
}

Status save_aux(const std::string& folder, const AuxSet& aux) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return io_error(fmt::format("{}: cannot be made ({})", folder, code.message()));
  for (const auto& [name, tensor] : aux) {
    const std::string path = (std::filesystem::path(folder) / (name + ".npy")).string();
    const Status status =
        tensor.is_integer
            ? write_npy(path, tensor.shape, std::span<const std::int64_t>(tensor.ints))
            : write_npy(path, tensor.shape, std::span<const float>(tensor.values));
    if (!status) return status;
  }
  return ok_status();
}

}  // namespace attnbench::cli
