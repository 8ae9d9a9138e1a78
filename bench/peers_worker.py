#!/usr/bin/env python3
"""peers_worker.py torch-flash|torch-math|ort-mha: runs one peer's attention on request.

The same protocol as attnbench_serve (bench/serve.cpp): a JSON line in, a JSON line out. A peer that
cannot be imported answers hello with the error "missing". Inputs are standard normal, outputs are
checked against float64 on some rows before anything is timed.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable


class Refused(Exception):
    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


TOLERANCE = 1e-5  # Relative L2, as for the variants of attnbench.


def draw(shape: tuple[int, ...], stream: int):
    import numpy as np
    return np.random.default_rng([1, stream]).standard_normal(shape, dtype=np.float32)


def expected_rows(q, k, v, causal: bool, rows: list[int]):
    """Softmax attention in float64: rows of [1, H, N, D] of every head, as [H, rows, D]."""
    import numpy as np
    q64, k64, v64 = (x[0].astype(np.float64) for x in (q[:, :, rows], k, v))
    logits = q64 @ k64.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    if causal:
        diagonal = k.shape[2] - q.shape[2]
        hidden = np.arange(k.shape[2])[None, :] > np.array(rows)[:, None] + diagonal
        logits = np.where(hidden[None], -np.inf, logits)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)) @ v64


def check(output, q, k, v, causal: bool) -> float:
    """The relative L2 error of `output` [1, H, N, D] on its first, middle and last rows."""
    import numpy as np
    length = q.shape[2]
    rows = sorted({0, length // 2, length - 1})
    expected = expected_rows(q, k, v, causal, rows)
    error = np.linalg.norm(output[0][:, rows].astype(np.float64) - expected)
    error /= np.linalg.norm(expected)
    if not error <= TOLERANCE:
        raise Refused("wrong", f"relative L2 error {error:.3g}, accepted up to {TOLERANCE:g}")
    return float(error)


class TorchPeer:
    """torch.nn.functional.scaled_dot_product_attention on one backend."""

    def __init__(self, backend: str):
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        self._torch = torch
        self._sdpa_kernel = sdpa_kernel
        self._backend = {"flash": SDPBackend.FLASH_ATTENTION, "math": SDPBackend.MATH}[backend]
        torch.set_num_interop_threads(1)
        self._active = None

    def about(self) -> dict[str, str]:
        # The libraries behind this build of torch decide much of its speed.
        backends = self._torch.backends
        parts = [backends.cpu.get_cpu_capability()]
        parts += [name for name in ("mkl", "mkldnn", "openmp")
                  if getattr(backends, name).is_available()]
        return {"peer": f"torch {self._torch.__version__}", "built_with": " ".join(parts)}

    def prepare(self, spec: dict[str, Any]) -> Callable[[], Any]:
        """A function that makes one call; threads are set by activate()."""
        torch = self._torch
        if spec["causal"] and spec["seq_q"] != spec["seq_k"]:
            raise Refused("unsupported", "is_causal is aligned top-left when Nq != Nk")
        self.activate(spec)
        q, k, v = inputs_of(spec)
        tensors = [torch.from_numpy(x) for x in (q, k, v)]
        attend = torch.nn.functional.scaled_dot_product_attention
        keywords: dict[str, Any] = {"is_causal": spec["causal"]}
        if spec["kv_heads"] != spec["heads"]:
            keywords["enable_gqa"] = True

        def call():
            return attend(*tensors, **keywords)

        output = self.run(call, 1).numpy()
        groups = spec["heads"] // spec["kv_heads"]
        self.error = check(output, q, k.repeat(groups, 1), v.repeat(groups, 1), spec["causal"])
        return call

    def activate(self, spec: dict[str, Any]) -> None:
        if self._torch.get_num_threads() != spec["threads"]:
            self._torch.set_num_threads(spec["threads"])

    def run(self, call: Callable[[], Any], iterations: int) -> Any:
        output = None
        with self._torch.inference_mode(), self._sdpa_kernel([self._backend]):
            for _ in range(iterations):
                output = call()
        return output

    def time(self, call: Callable[[], Any], iterations: int) -> tuple[float, float]:
        # Inside of the context managers, whose cost is not the kernel's.
        with self._torch.inference_mode(), self._sdpa_kernel([self._backend]):
            return elapsed(call, iterations)


class OrtPeer:
    """The com.microsoft MultiHeadAttention operator of ONNX Runtime: Q, K, V and O are
    [B, N, H * D], as the operator wants them."""

    def __init__(self):
        import onnx  # noqa: F401  Needed to make the model.
        import onnxruntime
        self._ort = onnxruntime

    def about(self) -> dict[str, str]:
        return {"peer": f"onnxruntime {self._ort.__version__}", "built_with": ""}

    def _session(self, spec: dict[str, Any]):
        from onnx import TensorProto, helper
        hidden = spec["heads"] * spec["dim"]

        def value(name: str, length: int):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, length, hidden])

        node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["o"],
                                domain="com.microsoft", num_heads=spec["heads"],
                                unidirectional=int(spec["causal"]))
        graph = helper.make_graph(
            [node], "attention",
            [value("q", spec["seq_q"]), value("k", spec["seq_k"]), value("v", spec["seq_k"])],
            [value("o", spec["seq_q"])])
        model = helper.make_model(graph, ir_version=9, opset_imports=[
            helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)])
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = spec["threads"]
        options.inter_op_num_threads = 1
        return self._ort.InferenceSession(model.SerializeToString(), options,
                                          providers=["CPUExecutionProvider"])

    def prepare(self, spec: dict[str, Any]) -> Callable[[], Any]:
        import numpy as np
        if spec["kv_heads"] != spec["heads"]:
            raise Refused("unsupported", "MultiHeadAttention has no grouped heads")
        q, k, v = inputs_of(spec)
        session = self._session(spec)
        binding = session.io_binding()
        # Bound once: copying inputs in and the output out is not the operator's time.
        flat = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(1, x.shape[2], -1)
                for x in (q, k, v)]
        held = [self._ort.OrtValue.ortvalue_from_numpy(x) for x in flat]
        for name, tensor in zip("qkv", held):
            binding.bind_ortvalue_input(name, tensor)
        output = self._ort.OrtValue.ortvalue_from_numpy(np.zeros_like(flat[0]))
        binding.bind_ortvalue_output("o", output)

        def call():
            session.run_with_iobinding(binding)
            return output

        by_head = call().numpy().reshape(1, spec["seq_q"], spec["heads"], -1).transpose(0, 2, 1, 3)
        self.error = check(by_head, q, k, v, spec["causal"])
        return call

    def activate(self, spec: dict[str, Any]) -> None:
        pass  # A session has its threads.

    def time(self, call: Callable[[], Any], iterations: int) -> tuple[float, float]:
        return elapsed(call, iterations)


def inputs_of(spec: dict[str, Any]):
    q = draw((1, spec["heads"], spec["seq_q"], spec["dim"]), 0)
    k = draw((1, spec["kv_heads"], spec["seq_k"], spec["dim"]), 1)
    v = draw((1, spec["kv_heads"], spec["seq_k"], spec["dim"]), 2)
    return q, k, v


def elapsed(call: Callable[[], Any], iterations: int) -> tuple[float, float]:
    """Wall seconds and CPU seconds of the process."""
    cpu, begin = time.process_time(), time.perf_counter()
    for _ in range(iterations):
        call()
    return time.perf_counter() - begin, time.process_time() - cpu


PEERS: dict[str, Callable[[], Any]] = {
    "torch-flash": lambda: TorchPeer("flash"),
    "torch-math": lambda: TorchPeer("math"),
    "ort-mha": OrtPeer,
}


class Server:
    def __init__(self, name: str):
        self._name = name
        self._peer: Any = None
        self._cases: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        handlers = {"hello": self._hello, "prepare": self._prepare, "time": self._time,
                    "drop": self._drop}
        return handlers[request["do"]](request)

    def _hello(self, _: dict[str, Any]) -> dict[str, Any]:
        try:
            self._peer = PEERS[self._name]()
        except ImportError as error:
            raise Refused("missing", f"{self._name}: {error}") from error
        return self._peer.about()

    def _prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        spec = dict(request)
        call = self._peer.prepare(spec)
        self._cases[request["id"]] = (spec, call)
        warm_s = self._peer.time(call, 1)[0]
        return {"warm_call_s": warm_s, "error_rel_l2": self._peer.error}

    def _time(self, request: dict[str, Any]) -> dict[str, Any]:
        spec, call = self._cases[request["id"]]
        self._peer.activate(spec)
        if request.get("warm", 1):
            self._peer.time(call, request.get("warm", 1))
        wall_s, cpu_s = self._peer.time(call, request["iterations"])
        return {"iterations": request["iterations"], "wall_s": wall_s, "cpu_s": cpu_s}

    def _drop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._cases.pop(request["id"], None)
        return {}


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0] not in PEERS:
        print(f"usage: peers_worker.py {'|'.join(PEERS)} < requests", file=sys.stderr)
        return 2
    server = Server(argv[0])
    answers = sys.stdout
    sys.stdout = sys.stderr  # Whatever a library prints is no answer.
    for line in sys.stdin:
        try:
            answer = {"ok": True, **server.answer(json.loads(line))}
        except Refused as refused:
            answer = {"ok": False, "error": refused.kind, "message": str(refused)}
        except Exception as error:  # A peer's failure is an answer, whatever it throws.
            answer = {"ok": False, "error": "failed", "message": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
