#!/usr/bin/env python3
"""Records Q, K and V of one attention layer of a Hugging Face model, as inputs for attnbench.

    scripts/capture_qkv.py MODEL --text FILE --layer L --out F.safetensors
    scripts/capture_qkv.py MODEL --text FILE --list

    attnbench run --input file:F.safetensors --variants flash,performer --seq 256:2048:x2

MODEL is what AutoModel.from_pretrained takes: a name on the hub or a folder. The file has tensors
q [B, Hq, N, D], k and v [B, Hkv, N, D] (key-value heads as the model has them, not repeated) and
metadata: model, layer, module, tokens, and `stage`:

    attention    what the attention function was given: after rotary embedding
    projections  outputs of the projections, where the model does not go through the registry of
                 attention functions: before rotary embedding, if it has one

Needs a Python with torch, transformers and safetensors.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# Names of separate projections, and of fused ones whose output is q, k and v side by side.
SEPARATE = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q_lin", "k_lin", "v_lin"),
            ("q", "k", "v"))
FUSED = ("c_attn", "qkv_proj", "Wqkv", "qkv")


class CaptureError(Exception):
    """A model or request that cannot be captured; the message is for the user."""


@dataclass
class Call:
    """One attention module's call."""

    module: str
    shapes: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    scaling: float | None = None
    causal: bool | None = None


class Recorder:
    """Notes every attention call in order; keeps the tensors of call number `layer`."""

    def __init__(self, model: torch.nn.Module, layer: int | None):
        self.names = {id(module): name for name, module in model.named_modules()}
        self.layer = layer
        self.calls: list[Call] = []

    def add(self, module, q, k, v, scaling=None, causal=None) -> None:
        shapes = f"q {list(q.shape)} k {list(k.shape)} v {list(v.shape)}"
        call = Call(self.names.get(id(module), type(module).__name__), shapes, {}, scaling, causal)
        if self.layer == len(self.calls):
            call.tensors = {name: tensor.detach().to("cpu").contiguous().clone()
                            for name, tensor in (("q", q), ("k", k), ("v", v))}
        self.calls.append(call)


def _registry():
    """The table of attention functions of this version of transformers; None where it has none."""
    for place in ("transformers.modeling_utils", "transformers"):
        module = sys.modules.get(place)
        table = getattr(module, "ALL_ATTENTION_FUNCTIONS", None)
        if table is not None:
            return table
    return None


@contextmanager
def attention_registry(recorder: Recorder):
    """Within, every attention function that models look up by name notes its arguments first."""
    table = _registry()
    originals = {name: table[name] for name in list(table.keys())} if table is not None else {}

    def noting(function):
        def attention(module, query, key, value, *arguments, **named):
            causal = named.get("is_causal")
            causal = getattr(module, "is_causal", None) if causal is None else causal
            recorder.add(module, query, key, value, named.get("scaling"), causal)
            return function(module, query, key, value, *arguments, **named)
        return attention

    for name, function in originals.items():
        table[name] = noting(function)
    try:
        yield
    finally:
        for name, function in originals.items():
            table[name] = function


def _heads(model, width: int, of_keys: bool) -> int:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") \
        else model.config
    heads = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise CaptureError("the model's configuration has no num_attention_heads")
    if of_keys:
        heads = getattr(config, "num_key_value_heads", None) or heads
    if width % heads:
        raise CaptureError(f"a projection of width {width} does not divide into {heads} heads")
    return heads


def _by_head(model, tensor: torch.Tensor, of_keys: bool) -> torch.Tensor:
    """[B, N, H * D] -> [B, H, N, D]."""
    batch, length, width = tensor.shape
    heads = _heads(model, width, of_keys)
    return tensor.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _watch_separate(model, module, names, recorder) -> list:
    seen: dict[str, torch.Tensor] = {}

    def keep(which):
        def hook(_module, _inputs, output):
            seen[which] = _by_head(model, output, of_keys=which != "q")
            if len(seen) == 3:
                recorder.add(module, seen["q"], seen["k"], seen["v"])
                seen.clear()
        return hook

    return [getattr(module, name).register_forward_hook(keep(which))
            for which, name in zip("qkv", names)]


def _watch_fused(model, module, name, recorder):
    def hook(_module, _inputs, output):
        width = output.shape[-1]
        heads, kv_heads = _heads(model, width, False), _heads(model, width, True)
        dim = width // (heads + 2 * kv_heads)
        q, k, v = output.split([heads * dim, kv_heads * dim, kv_heads * dim], dim=-1)
        recorder.add(module, *(_by_head(model, t, of_keys)
                               for t, of_keys in ((q, False), (k, True), (v, True))))

    return getattr(module, name).register_forward_hook(hook)


@contextmanager
def projection_hooks(model, recorder: Recorder):
    """Within, modules that have projections by one of the known names note their outputs."""
    handles = []
    for _, module in model.named_modules():
        for names in SEPARATE:
            if all(isinstance(getattr(module, name, None), torch.nn.Module) for name in names):
                handles += _watch_separate(model, module, names, recorder)
                break
        else:
            for name in FUSED:
                if isinstance(getattr(module, name, None), torch.nn.Module):
                    handles.append(_watch_fused(model, module, name, recorder))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _forward(model, input_ids: torch.Tensor) -> None:
    arguments = {"input_ids": input_ids}
    if getattr(model.config, "is_encoder_decoder", False):
        arguments["decoder_input_ids"] = input_ids
    with torch.no_grad():
        model.eval()(**arguments)


def capture(model, input_ids: torch.Tensor, layer: int | None,
            stages=("attention", "projections")) -> tuple[str, list[Call]]:
    """Runs the model once; all attention calls in order, the tensors of number `layer` kept.

    The stage says where they were taken: the first of `stages` that sees a call.
    """
    for stage in stages:
        recorder = Recorder(model, layer)
        watching = attention_registry(recorder) if stage == "attention" \
            else projection_hooks(model, recorder)
        with watching:
            _forward(model, input_ids)
        if recorder.calls:
            return stage, recorder.calls
    raise CaptureError(
        f"{type(model).__name__}: no attention was seen: neither does it use the registry of "
        f"attention functions, nor has it projections named {', '.join(map('/'.join, SEPARATE))} "
        f"or {', '.join(FUSED)}")


def metadata_of(model, call: Call, stage: str, layer: int, name: str) -> dict[str, str]:
    facts = {
        "model": name, "architecture": type(model).__name__, "layer": layer, "module": call.module,
        "stage": stage, "tokens": call.tensors["q"].shape[2],
        "transformers": transformers.__version__, "torch": torch.__version__,
        "scaling": call.scaling, "causal": call.causal,
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def save(model, call: Call, stage: str, layer: int, name: str, out: Path,
         dtype: torch.dtype | None = None) -> None:
    """Writes q, k, v and the metadata; in one step."""
    tensors = {key: tensor.to(dtype or tensor.dtype).contiguous()
               for key, tensor in call.tensors.items()}
    partial = out.with_name(out.name + ".part")
    save_file(tensors, str(partial), metadata_of(model, call, stage, layer, name))
    partial.replace(out)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="name on the hub, or a folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", type=Path, metavar="FILE", help="a text, UTF-8")
    source.add_argument("--random-tokens", type=int, metavar="N",
                        help="N tokens drawn uniformly instead of a text (for a first try)")
    parser.add_argument("--layer", type=int, metavar="L", help="number of the attention call, from "
                        "0; --list shows them")
    parser.add_argument("--out", type=Path, metavar="F.safetensors")
    parser.add_argument("--list", action="store_true", help="list the attention calls and stop")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="at most the first N tokens")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the file (default: the model's)")
    parser.add_argument("--seed", type=int, default=1, help="of --random-tokens (default: 1)")
    arguments = parser.parse_args(argv)
    if not arguments.list and (arguments.layer is None or arguments.out is None):
        parser.error("--layer and --out are needed, or --list")
    if arguments.layer is not None and arguments.layer < 0:
        parser.error(f"--layer: given {arguments.layer}; accepted: 0 and up")
    if arguments.out is not None and arguments.out.suffix != ".safetensors":
        parser.error(f"--out: given {arguments.out}; accepted: a name that ends in .safetensors")
    return arguments


def longest_input(model) -> int | None:
    """Positions the model has, where it says so."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def token_ids(arguments: argparse.Namespace, model) -> torch.Tensor:
    """[1, N]: the text's tokens, no more than the model takes."""
    if arguments.random_tokens is not None:
        generator = torch.Generator().manual_seed(arguments.seed)
        ids = torch.randint(model.config.vocab_size, (1, arguments.random_tokens),
                            generator=generator)
    else:
        tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
        text = arguments.text.read_text(encoding="utf-8")
        ids = tokenizer(text, return_tensors="pt", truncation=False)["input_ids"]
    limits = [limit for limit in (arguments.max_tokens, longest_input(model)) if limit]
    ids = ids[:, :min(limits)] if limits else ids
    if ids.shape[1] == 0:
        raise CaptureError("no tokens: the text is empty")
    return ids


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    try:
        model = transformers.AutoModel.from_pretrained(arguments.model)
        stage, calls = capture(model, token_ids(arguments, model), arguments.layer)
        if arguments.list:
            for number, call in enumerate(calls):
                print(f"{number:3}  {call.module}  {call.shapes}")
            print(f"stage: {stage}")
            return 0
        if arguments.layer >= len(calls):
            raise CaptureError(f"--layer: given {arguments.layer}; the model makes {len(calls)} "
                               "attention calls, accepted are 0 to "
                               f"{len(calls) - 1} (--list shows them)")
        call = calls[arguments.layer]
        save(model, call, stage, arguments.layer, arguments.model, arguments.out,
             DTYPES.get(arguments.dtype))
    except (CaptureError, OSError, ValueError) as error:
        first_line = re.sub(r"\s*\n\s*", " ", str(error).strip())
        print(f"capture_qkv.py: error: {first_line}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: layer {arguments.layer} ({call.module}), stage {stage}: {call.shapes}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
