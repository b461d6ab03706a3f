#!/usr/bin/env python3
"""Writes tiny.json: a tokenizer.json with the pipeline of DeepSeek-V4, 256 bytes, nine merges and five added tokens."""
import json

prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
rest = [b for b in range(256) if b not in prints]
alphabet = {b: chr(b) for b in prints} | {b: chr(0x100 + i) for i, b in enumerate(rest)}
tokens = [alphabet[b] for b in prints + rest]
merges = ["a b", "ab c", "b c", "a a", "aa aa", "l l", "h e", "he ll", "Ġ a"]
vocab = {t: i for i, t in enumerate(tokens + [m.replace(" ", "") for m in merges])}
added = [("<｜begin▁of▁sentence｜>", True), ("<｜end▁of▁sentence｜>", True), ("<think>", False), ("</think>", False),
         ("<think>er", False)]
patterns = ["\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
json.dump({
    "version": "1.0",
    "added_tokens": [{"id": len(vocab) + i, "content": c, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": s} for i, (c, s) in enumerate(added)],
    "normalizer": {"type": "Sequence", "normalizers": []},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        *({"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in patterns),
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False,
              "vocab": vocab, "merges": merges},
}, open("tiny.json", "w", encoding="utf-8"), ensure_ascii=False, indent=0)
