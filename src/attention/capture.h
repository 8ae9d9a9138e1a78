// Q, K and V recorded from a real model, as inputs of a sweep ("--input file:PATH").
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/inputs.h"
#include "attention/problem.h"
#include "attention/result.h"

namespace attnbench {

/// One recorded attention call.
struct Capture {
  std::string text;  ///< As given: "file:runs/layer3.safetensors".
  /// The file's name and a hash of shapes and values, wherever the file lies and in whichever of
  /// the formats: "file:layer3.safetensors#5d1c07e2".
  std::string label;
  Problem shape;         ///< Sizes of what was recorded; nothing else of it counts.
  InputTensors tensors;  ///< Layout bhnd.

  double bytes() const;
};

/// Captures by their text.
using CaptureSet = std::map<std::string, std::shared_ptr<const Capture>>;

/// Whether an input is a capture, not a distribution.
bool is_capture(std::string_view input);

/// Loads what "file:PATH" names: a .safetensors file with tensors q, k and v, a folder with q.npy,
/// k.npy and v.npy, or .npy files "PREFIX{}SUFFIX" with q, k, v in the place of {}. Shapes are
/// [B, H, N, D], [H, N, D] or [N, D]; missing leading sizes are one; heads of Q are a multiple of
/// those of K and V. Types f16, bf16 (safetensors only), f32 and f64, converted. Errors name the
/// file, what it holds and what is accepted. Throws std::bad_alloc.
Result<std::shared_ptr<const Capture>> load_capture(const std::string& text);

/// Loads all captures of a list of inputs; distributions are passed over.
Result<CaptureSet> load_captures(const std::vector<std::string>& inputs);

/// A problem of the capture's batch, heads and dimensions.
Problem with_capture_shape(Problem problem, const Capture& capture);

/// Why the capture has no inputs for this problem (its lengths exceed what was recorded).
std::optional<std::string> capture_refusal(const Capture& capture, const Problem& problem);

/// The inputs of a problem that the capture does not refuse, in the problem's layout: the first
/// seq_k keys and values. Where the capture is of self attention and seq_q <= seq_k, the queries
/// are those of the last seq_q of these positions, so that the bottom-right causal mask hides what
/// it hid in the model; else the first seq_q queries.
InputTensors cut_inputs(const Capture& capture, const Problem& problem);

}  // namespace attnbench
