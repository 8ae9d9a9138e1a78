"""scripts/capture_qkv.py on tiny randomly initialised models: what it records, put through
attnbench, is what the model's own attention computed."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from conftest import REPOSITORY

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors")

TOKENS = 24


def _load_script():
    path = REPOSITORY / "scripts" / "capture_qkv.py"
    spec = importlib.util.spec_from_file_location("capture_qkv", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["capture_qkv"] = module  # Data classes look their module up.
    spec.loader.exec_module(module)
    return module


script = _load_script()


def llama():
    torch.manual_seed(1)
    return transformers.LlamaModel(transformers.LlamaConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64))


def gpt2():
    torch.manual_seed(2)
    return transformers.GPT2Model(transformers.GPT2Config(
        vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=64))


def bert():
    torch.manual_seed(3)
    return transformers.BertModel(transformers.BertConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=64))


# The model, the module after attention (its input is attention's output), causal, key-value heads.
MODELS = {
    "llama": (llama, lambda m, layer: m.layers[layer].self_attn.o_proj, True, 2),
    "gpt2": (gpt2, lambda m, layer: m.h[layer].attn.c_proj, True, 4),
    "bert": (bert, lambda m, layer: m.encoder.layer[layer].attention.output.dense, False, 4),
}


def ids():
    return torch.randint(101, (1, TOKENS), generator=torch.Generator().manual_seed(4))


def own_output(model, after):
    """What the model's attention computed: [N, H * D]."""
    seen = []
    handle = after.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.eval()(input_ids=ids())
    handle.remove()
    return seen[0].reshape(TOKENS, -1).numpy()


def evaluated(run, path, causal):
    run("eval", "flash", "--q", path, "--k", path, "--v", path, "--out", "o.npy", "--causal",
        "on" if causal else "off", code=0)
    output = np.load(run.folder / "o.npy")  # [1, H, N, D]
    return output[0].transpose(1, 0, 2).reshape(TOKENS, -1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layer", [0, 1])
def test_the_recorded_tensors_give_the_models_own_attention(run, name, layer):
    make, after, causal, kv_heads = MODELS[name]
    model = make()
    stage, calls = script.capture(model, ids(), layer)
    assert stage == "attention" and len(calls) == 2
    assert calls[1 - layer].tensors == {}
    assert list(calls[layer].tensors["q"].shape) == [1, 4, TOKENS, 8]
    assert list(calls[layer].tensors["k"].shape) == [1, kv_heads, TOKENS, 8]
    path = run.folder / "f.safetensors"
    script.save(model, calls[layer], stage, layer, name, path)
    np.testing.assert_allclose(evaluated(run, path, causal), own_output(model, after(model, layer)),
                               rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_projections_are_found_where_there_is_no_registry(run, name):
    # Without rotary embedding the projections are what attention gets.
    make, after, causal, _ = MODELS[name]
    model = make()
    stage, calls = script.capture(model, ids(), 1, stages=("projections",))
    assert stage == "projections" and len(calls) == 2
    path = run.folder / "f.safetensors"
    script.save(model, calls[1], stage, 1, name, path)
    np.testing.assert_allclose(evaluated(run, path, causal), own_output(model, after(model, 1)),
                               rtol=2e-5, atol=2e-6)


def test_projections_are_before_rotary_embedding():
    model = llama()
    _, attention = script.capture(model, ids(), 0)
    stage, projections = script.capture(model, ids(), 0, stages=("projections",))
    assert stage == "projections"
    for key in "qkv":
        assert attention[0].tensors[key].shape == projections[0].tensors[key].shape
    assert torch.equal(attention[0].tensors["v"], projections[0].tensors["v"])
    # Position 0 is not rotated, the others are.
    q_after, q_before = attention[0].tensors["q"], projections[0].tensors["q"]
    torch.testing.assert_close(q_after[:, :, 0], q_before[:, :, 0])
    assert not torch.allclose(q_after[:, :, 5], q_before[:, :, 5], atol=1e-3)


def test_the_registry_is_left_as_it_was():
    table = script._registry()
    before = {name: table[name] for name in list(table.keys())}
    script.capture(llama(), ids(), 0)
    assert {name: table[name] for name in list(table.keys())} == before


def test_a_model_without_attention_is_refused():
    class Plain(torch.nn.Module):
        config = transformers.LlamaConfig()

        def forward(self, input_ids):
            return input_ids

    with pytest.raises(script.CaptureError, match="no attention was seen"):
        script.capture(Plain(), ids(), 0)


def test_command_line_from_a_folder_to_a_run(run, capsys):
    model = run.folder / "model"
    llama().save_pretrained(model)
    out = run.folder / "llama.safetensors"
    common = [str(model), "--random-tokens", "40"]
    assert script.main([*common, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "layers.1.self_attn  q [1, 4, 40, 8] k [1, 2, 40, 8]" in listed
    assert script.main([*common, "--layer", "7", "--out", str(out)]) == 2
    assert "accepted are 0 to 1" in capsys.readouterr().err
    assert script.main([*common, "--layer", "1", "--out", str(out), "--dtype", "bf16"]) == 0
    with safetensors.safe_open(str(out), "np") as file:
        facts = file.metadata()
    assert facts["stage"] == "attention" and facts["layer"] == "1" and facts["causal"] == "True"
    done = run("run", "--input", f"file:{out}", "--variants", "flash", "--seq", "16,40,64",
               "--threads", "1", "--budget", "10m", "--max-samples", "3", "--out", "out", code=0)
    assert "llama.safetensors#" in (run.folder / "out" / "summary.csv").read_text()
    assert "1 skipped" in done.stdout and "2 ok" in done.stdout


def test_texts_need_a_tokenizer_and_errors_are_one_line(run, capsys):
    (run.folder / "t.txt").write_text("hello")
    missing = str(run.folder / "no-model")
    assert script.main([missing, "--text", str(run.folder / "t.txt"), "--layer", "0", "--out",
                        "x.safetensors"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
