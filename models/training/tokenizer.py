"""The tokenizer: sentencepiece BPE with byte fallback, in which the strings of the chat format are pieces of
their own."""

import os
import tempfile

import sentencepiece

from training.chat_format import BOS, EOS, PAD, SPECIALS
from training.config import BOS_ID, EOS_ID, PAD_ID, UNKNOWN_ID


class Tokenizer:
    def __init__(self, path):
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.special = {self._pieces.piece_to_id(text): text for text in SPECIALS}

    def encode(self, text):
        return self._pieces.encode(text)

    def decode(self, ids):
        """Text with the strings of the chat format written out."""
        text, ordinary = "", []
        for i in ids:
            if i in self.special:
                text += self._pieces.decode(ordinary) + self.special[i]
                ordinary = []
            else:
                ordinary.append(int(i))
        return text + self._pieces.decode(ordinary)


def train(texts, path, vocabulary):
    """Writes the tokenizer that sentencepiece learns from `texts` to `path`."""
    lines = [
        "".join(chr(c) for c in range(33, 127))
    ] * 3  # so that every printable ASCII character has a piece
    for text in texts:
        for special in SPECIALS:
            text = text.replace(special, "\n")
        lines += [line for line in text.split("\n") if line]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("\n".join(lines))
        file.flush()
        sentencepiece.SentencePieceTrainer.train(
            input=file.name,
            model_prefix=os.path.splitext(path)[0],
            model_type="bpe",
            vocab_size=vocabulary,
            hard_vocab_limit=True,
            byte_fallback=True,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            max_sentencepiece_length=24,
            user_defined_symbols=SPECIALS + ["\n", "\n\n"],
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            pad_id=PAD_ID,
            unk_id=UNKNOWN_ID,
            bos_piece=BOS,
            eos_piece=EOS,
            pad_piece=PAD,
            unk_piece="<unk>",
            num_threads=1,
            minloglevel=1,
        )
