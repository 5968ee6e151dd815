"""Continuing a prompt: the same seed writes the same, and pieces together are the text."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lstmcore import prompts
from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.sampling import Prediction, generate, stream
from lstmcore.training import Trainer
from tests.lstmcore.trainings import FACTS, LINES, PAIRS, TEXT, config, run_through

LETTERS = Corpus("text", ("abcdefgh" * 60,))
SCRIPTS = Corpus("lines", ("日本語の文字 😀 é", "漢字と絵文字 🎉🎉 ü", "snow ☃ and 雪") * 4)
UNSURE = {"epochs": 1, "learning_rate": 1e-4, "validation_fraction": 0.0}


def trained(corpus: Corpus, preset: str, **settings: Any) -> LanguageModel:
    trainer = Trainer.start(config(corpus, preset, **settings), corpus, threads=1)
    run_through(trainer)
    return trainer.language_model


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    """Knows the order of eight letters by heart."""
    return trained(
        LETTERS, "char", epochs=40, hidden_dim=24, learning_rate=0.03, validation_fraction=0.0
    )


@pytest.fixture(scope="module")
def facts() -> LanguageModel:
    """Knows its answers by heart."""
    return trained(
        PAIRS, "word", epochs=60, hidden_dim=32, learning_rate=0.02, validation_fraction=0.0
    )


@pytest.fixture(scope="module", params=["word", "char", "subword"])
def unsure(request: pytest.FixtureRequest) -> LanguageModel:
    """Knows next to nothing, so that it writes anything."""
    return trained(SCRIPTS, request.param, **UNSURE)


def text_of(prediction: Prediction) -> str:
    return prediction["completions"][0]["text"]


def parts(items: Iterator[str | Prediction]) -> tuple[list[str], Prediction]:
    *pieces, result = items
    assert all(isinstance(piece, str) for piece in pieces)
    assert isinstance(result, dict)
    return pieces, result  # type: ignore[return-value]


def test_facts_are_answered(facts: LanguageModel) -> None:
    for prompt, answer in FACTS.items():
        result = generate(facts, prompt, Sampling(temperature=0))
        assert text_of(result) == answer
        assert result["completions"][0]["finish_reason"] == "stop"
        assert result["next_tokens"][0]["token"].strip() == answer.split()[0]
        assert result["unknown_tokens"] == []


def test_letters_go_on(letters: LanguageModel) -> None:
    result = generate(letters, "cde", Sampling(max_tokens=20, temperature=0))
    assert text_of(result) == "fghabcdefghabcdefgha"
    assert result["completions"][0]["finish_reason"] == "length"
    assert result["completions"][0]["tokens"] == 20
    assert result["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("stops", "expected"),
    [(["b"], "fgha"), (["abc"], "fgh"), (["bcx", "cde", "x"], "fghab"), (["ha", "gh"], "f"),
     (["f"], ""), (["zzz"], "fghabcdefghabcde")],
)  # fmt: skip
def test_text_ends_before_a_stop(letters: LanguageModel, stops: list[str], expected: str) -> None:
    asked = Sampling(max_tokens=16, temperature=0, stop=stops)
    pieces, result = parts(stream(letters, "cde", asked))
    assert "".join(pieces) == text_of(result) == expected
    reason = result["completions"][0]["finish_reason"]
    assert reason == ("length" if stops == ["zzz"] else "stop")


def test_the_start_of_a_stop_is_held_back(letters: LanguageModel) -> None:
    pieces, _ = parts(stream(letters, "cde", Sampling(max_tokens=8, temperature=0, stop=["hax"])))
    assert pieces == ["f", "g", "hab", "c", "d", "e"]


def test_pieces_are_whole_characters_and_together_the_text(unsure: LanguageModel) -> None:
    for seed in range(12):
        pieces, result = parts(stream(unsure, "雪 is", Sampling(max_tokens=40, seed=seed)))
        assert "".join(pieces) == text_of(result)
        assert all(piece for piece in pieces)
        assert not any(piece.endswith("\ufffd") for piece in pieces[:-1])


def test_the_text_is_what_the_tokens_decode_to(unsure: LanguageModel) -> None:
    tokenizer = unsure.tokenizer
    for seed in range(12):
        asked = Sampling(max_tokens=30, seed=seed, logprobs=True)
        completion = generate(unsure, "snow", asked)["completions"][0]
        assert len(completion["logprobs"]) == completion["tokens"]
        assert math.fsum(each["logprob"] for each in completion["logprobs"]) == pytest.approx(
            completion["logprob"]
        )
        if tokenizer.kind.level != "subword":  # there, a token may be part of a character
            assert completion["text"] == "".join(each["token"] for each in completion["logprobs"])


def test_the_same_seed_writes_the_same(unsure: LanguageModel) -> None:
    asked = Sampling(max_tokens=30, seed=4, n=3)
    torch.manual_seed(1)
    one = generate(unsure, "snow", asked)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert generate(unsure, "snow", asked) == one
    assert torch.equal(torch.get_rng_state(), before)
    assert generate(unsure, "snow", Sampling(max_tokens=30, seed=5, n=3)) != one
    assert len({completion["text"] for completion in one["completions"]}) == 3
    free = [text_of(generate(unsure, "snow", Sampling(max_tokens=30))) for _ in range(3)]
    assert len(set(free)) > 1


def test_some_settings_leave_only_the_likeliest(unsure: LanguageModel) -> None:
    greedy = text_of(generate(unsure, "snow", Sampling(max_tokens=20, temperature=0)))
    for only in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}):
        asked = Sampling(max_tokens=20, seed=1, **only)
        assert text_of(generate(unsure, "snow", asked)) == greedy


def test_filters_leave_the_right_tokens(unsure: LanguageModel) -> None:
    result = generate(unsure, "snow", Sampling(max_tokens=0))
    likeliest = result["next_tokens"]
    assert text_of(result) == ""
    three = {each["token"] for each in likeliest[:3]}
    share = sum(each["probability"] for each in likeliest[:3])
    for only in ({"top_k": 3}, {"top_p": share - 1e-4}):
        kept = Sampling(max_tokens=1, n=16, seed=1, logprobs=True, **only)
        written = generate(unsure, "snow", kept)["completions"]
        tokens = {each["token"] for one in written for each in one["logprobs"]}
        assert tokens <= three
        assert len(tokens) > 1


def test_repetition_is_penalised(letters: LanguageModel) -> None:
    asked = Sampling(max_tokens=8, temperature=0, repetition_penalty=10.0)
    written = text_of(generate(letters, "a", asked))
    assert len(set("a" + written)) > 7
    assert written != text_of(generate(letters, "a", Sampling(max_tokens=8, temperature=0)))


def test_next_tokens_are_the_softmax_after_the_prompt(unsure: LanguageModel) -> None:
    tokenizer = unsure.tokenizer
    ids = [tokenizer.eos_id, *tokenizer.encode("snow ☃").ids]  # lines begin after the end of one
    with torch.no_grad():
        probabilities = unsure.model(torch.tensor([ids]))[0][0, -1].softmax(-1)
    filtered = Sampling(max_tokens=1, temperature=3, top_k=1, repetition_penalty=2.0)
    listed = generate(unsure, "snow ☃", filtered)["next_tokens"]
    assert len(listed) == 10
    assert [each["probability"] for each in listed] == sorted(
        (each["probability"] for each in listed), reverse=True
    )
    shown = [i for i in probabilities.argsort(descending=True).tolist()
             if i not in (tokenizer.unk_id, tokenizer.sep_id)][:10]  # fmt: skip
    assert [each["probability"] for each in listed] == pytest.approx(
        probabilities[shown].tolist(), rel=1e-4
    )
    assert not {"<unk>", "<sep>"} & {each["token"] for each in listed}


def test_log_probabilities_are_the_networks_own(unsure: LanguageModel) -> None:
    tokenizer = unsure.tokenizer
    if tokenizer.kind.level == "subword":
        return
    asked = Sampling(max_tokens=12, seed=3, temperature=2.0, top_k=30, logprobs=True)
    completion = generate(unsure, "snow", asked)["completions"][0]
    vocabulary = {tokenizer.token(i): i for i in range(tokenizer.modelled_size)}
    written = [vocabulary[each["token"]] for each in completion["logprobs"]]
    prompt = [tokenizer.eos_id, *tokenizer.encode("snow").ids]
    with torch.no_grad():
        logits = unsure.model(torch.tensor([prompt + written]))[0][0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1)[torch.arange(len(written)), written]
    assert [each["logprob"] for each in completion["logprobs"]] == pytest.approx(
        expected.tolist(), rel=1e-3
    )


def test_special_tokens_are_never_written(unsure: LanguageModel) -> None:
    tokenizer = unsure.tokenizer
    with torch.no_grad():
        bias = unsure.model.output.bias
        kept = bias.clone()
        bias[[tokenizer.unk_id, tokenizer.sep_id]] += 100
    try:
        for asked in (Sampling(max_tokens=30, temperature=0), Sampling(max_tokens=30, seed=1, n=4)):
            for completion in generate(unsure, "snow", asked)["completions"]:
                assert "<" not in completion["text"]
        with torch.no_grad():
            bias[tokenizer.eos_id] += 1000
        at_once = generate(unsure, "snow", Sampling())
        assert at_once["completions"][0]["finish_reason"] == "stop"
        assert at_once["completions"][0]["tokens"] == 0
        assert at_once["next_tokens"][0]["token"] == "<eos>"
    finally:
        with torch.no_grad():
            bias.copy_(kept)


@pytest.mark.parametrize("corpus", [TEXT, LINES, PAIRS], ids=["text", "lines", "pairs"])
def test_unknown_words_are_told(corpus: Corpus) -> None:
    model = trained(corpus, "word", **UNSURE)
    asked = Sampling(max_tokens=5, temperature=0)
    known = corpus.documents[0].split()[0]
    partly = generate(model, f"{known} xylophone", asked)
    assert partly["unknown_tokens"] == ["xylophone"]
    assert "notice" not in partly
    strange = generate(model, "xylophone zither", asked)
    assert strange["unknown_tokens"] == ["xylophone", "zither"]
    assert "Use words" in strange["notice"]
    empty = generate(model, "", asked)
    assert "notice" not in empty
    assert strange["completions"] == empty["completions"]
    assert empty["prompt_tokens"] == strange["prompt_tokens"] == 0


def test_a_continuation_keeps_the_space_before_its_first_word() -> None:
    model = trained(LINES, "word", epochs=60, learning_rate=0.03, validation_fraction=0.0)
    asked = Sampling(max_tokens=2, temperature=0)
    assert text_of(generate(model, "ann sees", asked)).startswith(" the ")
    assert text_of(generate(model, "", asked))[0] in "abc"


def test_it_stops_when_told(letters: LanguageModel) -> None:
    answers = iter([False, False, False, True])
    asked = Sampling(max_tokens=100, temperature=0)
    result = generate(letters, "cde", asked, should_stop=lambda: next(answers))
    assert text_of(result) == "fgh"
    assert result["completions"][0]["finish_reason"] == "cancelled"


def test_a_stream_leaves_torch_as_it_was_between_pieces(letters: LanguageModel) -> None:
    for _ in stream(letters, "cde", Sampling(max_tokens=3)):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_long_prompt_is_read_in_windows(letters: LanguageModel) -> None:
    prompt = "abcdefgh" * 300
    assert text_of(generate(letters, prompt, Sampling(max_tokens=9, temperature=0))) == "abcdefgha"


def test_a_prompt_that_is_too_long_is_refused(
    letters: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "LONGEST_PROMPT", 50)
    with pytest.raises(PromptError, match="Shorten"):
        generate(letters, "a" * 51, Sampling())
