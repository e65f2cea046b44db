"""Tokenizers that come as files: cleaned, cut and padded as the models were trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from likeness.encoders import LoadRequest, find
from likeness.encoders.open_clip_words import words_to_ids
from likeness.errors import InputError, WeightsNotFound

SIGLIP = find("open_clip:ViT-B-16-SigLIP/webli")
VOCABULARY = {"<pad>": 0, "</s>": 1, "a": 2, "dog": 3, "cat": 4, "<unk>": 5}


def write_tokenizer(folder: Path, pad_token: object = "</s>") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad_token}))


@pytest.mark.parametrize("place", ["beside the file", "in the mirror"])
def test_texts_are_cleaned_ended_and_padded(tmp_path: Path, place: str) -> None:
    folder = tmp_path if place == "beside the file" else tmp_path / "timm/ViT-B-16-SigLIP"
    write_tokenizer(folder)
    request = (
        LoadRequest(SIGLIP.name, weights_path=tmp_path / "weights.safetensors")
        if place == "beside the file"
        else LoadRequest(SIGLIP.name, weights_dir=tmp_path)
    )
    ids = words_to_ids(SIGLIP, request)(["A  DOG, a cat!", ""])
    assert ids.shape == (2, 64)
    # SigLIP's cleaning drops case and punctuation; padding is the end token, as its authors pad.
    assert ids[0].tolist() == [2, 3, 2, 4, 1] + [1] * 59
    assert ids[1].tolist() == [1] * 64


def test_long_texts_are_cut_and_still_end(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, {"content": "<pad>"})
    encode = words_to_ids(SIGLIP, LoadRequest(SIGLIP.name, weights_path=tmp_path / "w.pt"))
    ids = encode(["dog " * 200, "dog"])
    assert ids[0].tolist() == [3] * 63 + [1]
    assert ids[1].tolist() == [3, 1] + [0] * 62


def test_a_padding_token_that_the_vocabulary_lacks_is_an_error(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "[PAD]")
    with pytest.raises(InputError, match=r"\[PAD\]"):
        words_to_ids(SIGLIP, LoadRequest(SIGLIP.name, weights_path=tmp_path / "w.pt"))


def test_a_missing_tokenizer_says_which_file_and_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(WeightsNotFound) as caught:
        words_to_ids(SIGLIP, LoadRequest(SIGLIP.name, weights_dir=tmp_path / "mirror"))
    text = str(caught.value)
    assert "tokenizer.json of timm/ViT-B-16-SigLIP" in text
    assert str(tmp_path / "mirror" / "timm" / "ViT-B-16-SigLIP" / "tokenizer.json") in text


def test_clips_own_tokenizer_needs_no_file() -> None:
    clip = find("open_clip:ViT-B-32/openai")
    ids = words_to_ids(clip, LoadRequest(clip.name))(["a dog", "a cat"])
    assert ids.shape == (2, 77)
    assert ids[0].tolist()[:4] == [49406, 320, 1929, 49407]
