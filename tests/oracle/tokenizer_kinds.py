# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers of every kind that is read, trained by the `tokenizers` package: what the oracle tests compare."""
import base64
import functools
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
         r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")
PUNCTUATED = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
NESTED = r" ?[^(\s|[.,!?…。，、।۔،])]+"

PROSE = ["héllo wörld 漢字かな 😀😀 1234567 don't we're", "The quick brown fox jumps over the lazy dog.", "été à la plage — «oui» ﬁn №5 ½ ①",
         "Ελληνικά Русский עברית العربية हिन्दी ไทย 한국어"]


def sources():
    folder = pathlib.Path(json.__file__).parent
    return [path.read_text() for path in sorted(folder.glob("*.py"))]


def corpus():
    return [line for text in sources() for line in text.splitlines()] + PROSE * 40


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def split(pattern, behavior="isolated", **options):
    return pre_tokenizers.Split(pattern, behavior, **options)


@functools.cache
def model_json(kind):
    """The "model" of tokenizer.json, trained once for each kind."""
    tokenizer, trainer = trainable(kind)
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())["model"]


def trainable(kind):
    marks = pre_tokenizers.Metaspace()
    byte_tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = byte_level()
        return tokenizer, trainers.BpeTrainer(vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                              special_tokens=["<|begin|>", "<|im_start|>", "<|im_end|>"])
    if kind in ("fallback", "unknown"):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=kind == "fallback", fuse_unk=True))
        tokenizer.pre_tokenizer = marks
        return tokenizer, trainers.BpeTrainer(vocab_size=1200, show_progress=False, limit_alphabet=80,
                                              special_tokens=byte_tokens if kind == "fallback" else byte_tokens[:3])
    if kind == "affixes":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return tokenizer, trainers.BpeTrainer(vocab_size=1200, show_progress=False, end_of_word_suffix="</w>", continuing_subword_prefix="##",
                                              special_tokens=["<unk>"])
    if kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = marks
        return tokenizer, trainers.UnigramTrainer(vocab_size=1000, show_progress=False, unk_token="<unk>", special_tokens=byte_tokens)
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer, trainers.WordPieceTrainer(vocab_size=1500, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"])
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer, trainers.WordLevelTrainer(vocab_size=1000, show_progress=False, special_tokens=["[UNK]"])


@functools.cache
def sentencepiece_charsmap():
    """The real nmt_nfkc_cf table, out of a model that SentencePiece trains: ModelProto.normalizer_spec.precompiled_charsmap."""
    import io

    import sentencepiece
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(PROSE * 3), model_writer=model, vocab_size=120, hard_vocab_limit=False,
                                             normalization_rule_name="nmt_nfkc_cf", minloglevel=2)

    def fields(data):
        at = 0

        def varint():
            nonlocal at
            number = shift = 0
            while True:
                byte = data[at]
                at += 1
                number |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return number
        while at < len(data):
            key = varint()
            if key & 7 == 2:
                size = varint()
                yield key >> 3, data[at:at + size]
                at += size
            elif key & 7 == 5:
                at += 4
            else:
                varint()
    spec = next(value for number, value in fields(model.getvalue()) if number == 3)
    return base64.b64encode(next(value for number, value in fields(spec) if number == 2)).decode()


def made(kind, **options):
    """A tokenizer of a trained model; options of the model by name, parts of the tokenizer as values."""
    model = dict(model_json(kind), **options.pop("model", {}))
    raw = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
           "post_processor": None, "decoder": None, "model": model}
    raw.update(options.pop("raw", {}))
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokens = options.pop("tokens", [])
    for name, value in options.items():
        setattr(tokenizer, name, value)
    tokenizer.add_tokens(tokens)
    return tokenizer


CHAT = [AddedToken("<|im_start|>", special=True, normalized=False), AddedToken("<|im_end|>", special=True, normalized=False),
        AddedToken("<tool>", lstrip=True, rstrip=True), AddedToken("<tool", normalized=True), "été"]
WORDS = [AddedToken("cat", single_word=True), AddedToken("Mask", lstrip=True, single_word=True, normalized=True),
         AddedToken(" gap ", normalized=False), AddedToken("ÉTÉ", normalized=True), AddedToken("<s>", special=True, normalized=True)]
LLAMA2_DECODER = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def bytes_with(pre_tokenizer, **options):
    return made("bytes", pre_tokenizer=pre_tokenizer, decoder=decoders.ByteLevel(), tokens=CHAT, **options)


def cut_by(*steps, **options):
    return bytes_with(pre_tokenizers.Sequence([*steps, byte_level(use_regex=False)]), **options)


def shown_by(normalizer, **options):
    """A normalizer under a model that shows every byte that comes out."""
    return made("fallback", **{"normalizer": normalizer, "decoder": LLAMA2_DECODER, "tokens": WORDS, **options})


def precompiled():
    return {"raw": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": sentencepiece_charsmap()}}}


KINDS = {
    # byte-level BPE
    "gpt2": lambda: bytes_with(byte_level()),
    "gpt2_prefix": lambda: bytes_with(byte_level(add_prefix_space=True), post_processor=processors.RobertaProcessing(("<|im_end|>", 2), ("<|begin|>", 0))),
    "smollm": lambda: bytes_with(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()])),
    "digits": lambda: bytes_with(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level()])),
    "llama3": lambda: cut_by(split(Regex(LLAMA3)), model={"ignore_merges": True}, post_processor=processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])])),
    "qwen": lambda: cut_by(split(Regex(QWEN)), normalizer=normalizers.NFC()),
    "cased": lambda: cut_by(split(Regex(CASED))),
    "deepseek": lambda: cut_by(split(Regex(r"\p{N}{1,3}")), split(Regex("[一-龥぀-ゟ゠-ヿ]+")), split(Regex(PUNCTUATED))),
    "bloom": lambda: cut_by(split(Regex(NESTED))),
    "falcon": lambda: bytes_with(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(), pre_tokenizers.Digits(), split(Regex("[0-9][0-9][0-9]"))])),
    "bytes_first": lambda: bytes_with(split(Regex(r"\w+"), invert=True), normalizer=normalizers.ByteLevel()),
    # how splits behave
    "removed": lambda: cut_by(split(Regex(r"\s+"), "removed")),
    "previous": lambda: cut_by(split("a.", "merged_with_previous")),
    "next": lambda: cut_by(split(Regex(r"\p{Lu}"), "merged_with_next")),
    "contiguous": lambda: cut_by(split(Regex(r"\d"), "contiguous", invert=True)),
    "inverted_next": lambda: cut_by(split(Regex(r"\b\w+\b"), "merged_with_next", invert=True)),
    "empty_matches": lambda: cut_by(split(Regex(r"(?=\d{3}(?!\d))|x*"))),
    "lines": lambda: cut_by(split(Regex(r"^\s+|\s+$|(?m:.)\Z")), split(Regex(r"[\p{L}&&[^\p{Han}a-c]]+")), split(Regex(r"[^\P{Lu}\d]"), "merged_with_next")),
    "scripts": lambda: cut_by(split(Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}]+|\p{Cyrillic}+|[\p{Thai}\p{Arabic}]|\p{Hangul}+|\p{Latin}+")),
                               split(Regex(r"[\p{Greek}\p{Armenian}]+|\p{Hebrew}+|\p{Devanagari}|\p{Bengali}")), split(Regex(r"\P{L}\h|\W\S"))),
    "categories": lambda: cut_by(*[split(Regex(r"\p{%s}" % name)) for name in "Sc Sk So Sm Pc Pd Ps Pi Pf Po Mn Mc Lt Lm Lo Nl No Cf Cn Zs".split()]),
    "words_in_classes": lambda: cut_by(split(Regex(r"[[:punct:]] ")), split(Regex(r"[^\w\s]+"))),
    "fixed_length": lambda: cut_by(pre_tokenizers.FixedLength(3)),
    "delimiter": lambda: cut_by(pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.Punctuation("merged_with_next")),
    "unicode_scripts": lambda: cut_by(pre_tokenizers.UnicodeScripts()),
    "spaces": lambda: cut_by(pre_tokenizers.WhitespaceSplit()),
    # SentencePiece-style BPE
    "llama2": lambda: made("fallback", normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), decoder=LLAMA2_DECODER,
                           tokens=WORDS, post_processor=processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])),
    "mistral": lambda: made("fallback", pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoder=LLAMA2_DECODER, tokens=CHAT),
    "metaspace_first": lambda: made("fallback", pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"), decoder=decoders.Metaspace(prepend_scheme="first"),
                                    tokens=WORDS, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False)])),
    "gemma": lambda: made("fallback", normalizer=normalizers.Replace(" ", "▁"), pre_tokenizer=split(" ", "merged_with_previous"), tokens=CHAT,
                          model={"ignore_merges": True}, decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])),
    "unknown_fused": lambda: made("unknown", pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace()),
    "unknown_each": lambda: made("unknown", pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never"), model={"fuse_unk": False}),
    "affixes": lambda: made("affixes", pre_tokenizer=pre_tokenizers.Whitespace(), decoder=decoders.BPEDecoder("</w>"), tokens=WORDS[:2]),
    # Unigram
    "t5": lambda: made("unigram", pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoder=decoders.Metaspace(),
                       tokens=CHAT, post_processor=processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)]), **precompiled()),
    "unigram_fallback": lambda: made("unigram", model={"byte_fallback": True}, pre_tokenizer=pre_tokenizers.Metaspace(), tokens=WORDS,
                                     decoder=decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])),
    "unigram_whole": lambda: made("unigram", normalizer=normalizers.Nmt(), decoder=decoders.Sequence([decoders.Fuse(), decoders.Metaspace(), decoders.Strip("a", 2, 0)])),
    # words
    "bert": lambda: made("wordpiece", normalizer=normalizers.BertNormalizer(), pre_tokenizer=pre_tokenizers.BertPreTokenizer(), decoder=decoders.WordPiece(),
                         tokens=[AddedToken("[MASK]", lstrip=True, special=True), *WORDS], post_processor=processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))),
    "bert_cased": lambda: made("wordpiece", normalizer=normalizers.BertNormalizer(lowercase=False, strip_accents=True, clean_text=False), decoder=decoders.WordPiece(cleanup=False),
                               pre_tokenizer=pre_tokenizers.BertPreTokenizer()),
    "word_level": lambda: made("words", pre_tokenizer=pre_tokenizers.Whitespace(), tokens=WORDS),
    # normalizers
    "nfc": lambda: shown_by(normalizers.NFC()),
    "nfd": lambda: shown_by(normalizers.NFD()),
    "nfkc": lambda: shown_by(normalizers.NFKC()),
    "nfkd_stripped": lambda: shown_by(normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])),
    "precompiled": lambda: shown_by(None, pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"), **precompiled()),
    "replaced": lambda: shown_by(normalizers.Sequence([normalizers.Replace(Regex(r"\s+|a*$|^"), " "), normalizers.Replace("é", ""), normalizers.Prepend("<")]),
                                 decoder=decoders.Sequence([decoders.Replace("a", "<0x41>"), decoders.ByteFallback(), decoders.Strip("e", 1, 0), decoders.Fuse(), decoders.Replace(" t", "#")])),
}

def words_shown(tokenizer):
    """The same tokenizer over a model that shows every byte it is given and where each word ends."""
    raw = json.loads(tokenizer.to_str())
    if '"ByteLevel"' in json.dumps([raw["normalizer"], raw["pre_tokenizer"]]):
        units = sorted(pre_tokenizers.ByteLevel.alphabet())
        units += [unit + "</w>" for unit in units]
    else:
        units = [f"<0x{byte:02X}>" for byte in range(256)]
    raw["model"] = {"type": "BPE", "vocab": {unit: number for number, unit in enumerate(units)}, "merges": [], "byte_fallback": True, "end_of_word_suffix": "</w>"}
    return Tokenizer.from_str(json.dumps({**raw, "added_tokens": [{**token, "id": len(units) + n} for n, token in enumerate(raw["added_tokens"])], "post_processor": None}))
