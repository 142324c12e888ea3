"""Shap-E through diffusers: a tiny random checkpoint, whose mesh decoder answers a known mesh."""

import numpy as np
import pytest
import torch

from score3d.build_prior import imagined
from score3d.config import load_config
from score3d.prior.shap_e import shap_e_mesh
from score3d.teachers.base import TeacherError

pytest.importorskip("diffusers")


@pytest.fixture
def checkpoint(tmp_path):
    from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
    from diffusers.pipelines.shap_e import ShapERenderer
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from score3d.resources import resource

    torch.manual_seed(0)
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, embedding_dim=16, num_embeddings=32,
        embedding_proj_dim=16, time_embed_dim=64, num_layers=1, clip_embed_dim=32,
        additional_embeddings=0, time_embed_act_fn="gelu", norm_in_type="layer",
        encoder_hid_proj_type=None, added_emb_type=None,
    )  # fmt: skip
    renderer = ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=16, d_hidden=8, n_output=12,
        background=(0.1, 0.1, 0.1),
    )  # fmt: skip
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(resource("assets", "teacher", "tokenizer"))
    text = CLIPTextModelWithProjection(
        CLIPTextConfig(
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=1,
            projection_dim=16,
            vocab_size=len(tokenizer),
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    scheduler = HeunDiscreteScheduler(
        beta_schedule="exp", num_train_timesteps=1024, prediction_type="sample",
        use_karras_sigmas=True, clip_sample=True, clip_sample_range=1.0,
    )  # fmt: skip
    folder = tmp_path / "shap-e"
    ShapEPipeline(
        prior=prior, text_encoder=text, tokenizer=tokenizer, scheduler=scheduler,
        shap_e_renderer=renderer,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def decoded(monkeypatch, vertices, faces):
    from diffusers.pipelines.shap_e import ShapERenderer
    from diffusers.pipelines.shap_e.renderer import MeshDecoderOutput

    channels = {c: torch.linspace(0, 1, len(vertices)) * w for c, w in zip("RGB", (1, 0.5, 0))}  # noqa: B905
    answer = MeshDecoderOutput(verts=vertices, faces=faces, vertex_channels=channels)
    monkeypatch.setattr(ShapERenderer, "decode_to_mesh", lambda self, latents, device: answer)


def test_a_mesh_stands_on_y_in_a_ball(checkpoint, monkeypatch):
    """A tall tetrahedron along Shap-E's z is tall along y here, with its colours."""
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 4]])
    decoded(monkeypatch, corners, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    mesh = shap_e_mesh(str(checkpoint), "a mushroom", steps=2)
    assert mesh.is_watertight
    assert mesh.volume > 0
    extents = mesh.extents
    assert extents[1] == pytest.approx(4 * extents[0]) == pytest.approx(4 * extents[2])
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(0.5)
    assert mesh.visual.vertex_colors[3].tolist() == [255, 128, 0, 255]
    options = {"run": {"prompt": "a mushroom"}}
    config = load_config("draft", None, [f"scene.start=shap-e:{checkpoint}"], options)
    monkeypatch.setattr("score3d.prior.shap_e.shap_e_mesh", lambda *a: mesh)
    assert len(imagined(config, 0)[0]) > 500


def test_an_empty_mesh_and_a_damaged_checkpoint_are_one_line(checkpoint, monkeypatch):
    decoded(monkeypatch, torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    with pytest.raises(TeacherError, match="empty mesh"):
        shap_e_mesh(str(checkpoint), "a mushroom", steps=2)
    (checkpoint / "model_index.json").write_text("{")
    with pytest.raises(TeacherError, match="cannot be loaded as Shap-E"):
        shap_e_mesh(str(checkpoint), "a mushroom")
