"""A small CLIP tokenizer: byte-pair merges from the captions, letters for all other words."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789.,-'"
MAX_TOKENS = 24


def trained_tokenizer(captions: Sequence[str], folder: Path, size: int = 400) -> CLIPTokenizer:
    """A CLIPTokenizer over the captions' words, saved to `folder` in CLIP's own files.

    The trainer breaks ties between merges at random: two calls may differ in a few tokens, so a
    text encoder must be kept with the very tokenizer it was trained with.
    """
    bpe = Tokenizer(BPE(unk_token=END, end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = Split(pattern=" ", behavior="removed")
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=[],
        initial_alphabet=list(ALPHABET),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator([c.replace(",", " ,") for c in captions], trainer)
    model = json.loads(bpe.to_str())["model"]
    words = dict.fromkeys([*ALPHABET, *(letter + "</w>" for letter in ALPHABET)])
    words |= dict.fromkeys(sorted(model["vocab"], key=model["vocab"].__getitem__))
    words |= dict.fromkeys([START, END])
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    pairs = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    merges.write_text("#version: 0.2\n" + "\n".join(pairs) + "\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer
