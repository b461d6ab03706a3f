"""Writes checkpoint folders: `python3 -m training.export --model model.pt --draft draft.pt --tokenizer
data/tokenizer.model`.

--out gets the main model with its MTP block, --out-draft the same model with the DSpark draft instead.
"""

import argparse
import json
import shutil
from pathlib import Path

from training import published_format, safetensors_file
from training.chat_format import BOS, EOS, PAD
from training.config import BOS_ID, EOS_ID, Config
from training.draft import Draft
from training.model import Transformer
from training.run import averaged
from training.tokenizer import Tokenizer


def _added_token(text, normalized, **flags):
    return dict(content=text, lstrip=False, normalized=normalized, rstrip=False, single_word=False, **flags)


def tokenizer_config(tokenizer, longest):
    def named(text):
        return dict(__type="AddedToken", **_added_token(text, True))

    ids = sorted(tokenizer.special)
    return dict(
        add_bos_token=False,
        add_eos_token=False,
        bos_token=named(BOS),
        eos_token=named(EOS),
        pad_token=named(PAD),
        clean_up_tokenization_spaces=False,
        legacy=True,
        model_max_length=longest,
        sp_model_kwargs={},
        unk_token="<unk>",
        tokenizer_class="LlamaTokenizer",
        added_tokens_decoder={str(i): _added_token(tokenizer.special[i], False, special=True) for i in ids},
    )


GENERATION_CONFIG = dict(
    _from_model_config=True,
    bos_token_id=BOS_ID,
    eos_token_id=EOS_ID,
    do_sample=True,
    temperature=1.0,
    top_p=1.0,
    transformers_version="4.46.3",
)


def write_checkpoint(folder, config, tensors, tokenizer_path):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    safetensors_file.write(folder / "model.safetensors", tensors)
    shutil.copyfile(tokenizer_path, folder / "tokenizer.model")
    tokenizer = tokenizer_config(Tokenizer(tokenizer_path), config["max_position_embeddings"])
    for name, value in [
        ("config.json", dict(config)),
        ("generation_config.json", GENERATION_CONFIG),
        ("tokenizer_config.json", tokenizer),
    ]:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {len(tensors)} tensors, {size / 1e6:.1f} MB")


def without_mtp(tensors):
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("mtp.")}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="model.pt", help="run of training.train_model")
    parser.add_argument("--draft", help="run of training.train_draft")
    parser.add_argument("--tokenizer", default="data/tokenizer.model")
    parser.add_argument("--out", default="v4-nano")
    parser.add_argument("--out-draft", default="v4-nano-dspark")
    a = parser.parse_args()
    config, weights = averaged(a.model)
    model = Transformer(Config(config))
    model.load_state_dict(weights)
    tensors = published_format.encode(model)
    write_checkpoint(a.out, config, tensors, a.tokenizer)
    if a.draft:
        config, weights = averaged(a.draft)
        draft = Draft(Config(config))
        draft.load_state_dict(weights)
        drafted = {**without_mtp(tensors), **published_format.encode(draft)}
        write_checkpoint(a.out_draft, config, drafted, a.tokenizer)


if __name__ == "__main__":
    main()
