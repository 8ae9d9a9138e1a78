// The user's .npy and .safetensors files as the tensors of one attention call.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "attention/npy.h"
#include "attention/problem.h"
#include "attention/result.h"
#include "attention/variant.h"

namespace attnbench::cli {

/// What eval was asked for, before any file is read.
struct EvalRequest {
  std::string q_path, k_path, v_path;
  Layout layout = Layout::bhnd;
  bool causal = false;
  std::optional<double> scale;
  std::string key_lengths_path;  ///< Empty: every key counts.
  std::string mask_path;         ///< Empty: no mask.
  Position position = Position::none;
  Rope rope;
  std::optional<double> softcap;
  bool sink = false;      ///< Drawn from `seed` unless a file has it.
  std::string sink_path;  ///< Empty: none.
  std::uint64_t seed = 1;
};

struct EvalInputs {
  InputTensors tensors;
  Problem problem;
  std::size_t rank = 4;  ///< Of Q as given; the output has the same.
};

/// Loads Q, K and V from .npy files, or the tensors q, k and v of .safetensors files ([B, H, N, D],
/// or [B, N, H, D] in layout bnhd; missing leading sizes are one, and a matrix is [N, D] of one
/// head in both layouts) and checks that they fit together. Errors name the file, what it holds and
/// what it should hold.
Result<EvalInputs> load_eval_inputs(const EvalRequest& request);

/// The shape of the output file: that of `rank` trailing sizes in the layout of the inputs.
std::vector<std::int64_t> output_shape(const EvalInputs& inputs);

/// Loads auxiliary tensors given as "name=FILE.npy". Names are checked against the variant's;
/// shapes are left to Variant::complete_aux.
Result<AuxSet> load_aux(const VariantInfo& info, const std::vector<std::string>& assignments);

/// Writes every auxiliary tensor to FOLDER/NAME.npy; makes the folder.
Status save_aux(const std::string& folder, const AuxSet& aux);

}  // namespace attnbench::cli
