"""Notebook 08.4: batches, perplexity, and three ways to choose words, on small untrained networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import book
from cookbook.subwords import END, PAD, START, Subwords


@pytest.fixture(scope="module")
def nb():
    module = book.definitions("08.4")
    module.subwords = Subwords.load()
    return module


@pytest.fixture(scope="module")
def bot(nb):
    return nb.chatbot(nb.subwords.size, width=16, units=16)


@pytest.fixture(scope="module")
def transformer(nb):
    return nb.transformer(nb.subwords.size, width=16, blocks=1)


def test_turns_are_answered_by_the_next(nb):
    assert nb.pairs_of(["a", "b", "c"]) == [("a", "b"), ("b", "c")]
    assert nb.pairs_of(["alone"]) == []


def test_a_reply_that_is_cut_has_no_end(nb):
    long = list(range(10, 10 + nb.LENGTH))
    (prompt, written), right, weight = nb.training_batch([([7], [5, 6]), ([], long)])
    assert prompt.shape == (2, nb.LENGTH)
    assert prompt[1, 0] == END
    assert written[0, :4].tolist() == [START, 5, 6, END]
    assert right[0, :3].tolist() == [5, 6, END]
    assert right[1].tolist() == long
    assert END not in right[1]
    assert weight[0].sum() == 3


def test_batches_hold_each_pair_once(nb):
    pairs = [([number], [number] * (number % 7)) for number in range(10, 60)]
    batches = nb.Batches(pairs, rows=8)
    seen = [prompt[0] for number in range(len(batches)) for prompt in batches[number][0][0]]
    assert sorted(seen) == list(range(10, 60))


@pytest.mark.parametrize("kind", ["bot", "transformer"])
def test_a_network_that_knows_nothing_hesitates_among_all(nb, kind, request):
    network = request.getfixturevalue(kind)
    saved = network.get_weights()
    network.set_weights([np.zeros_like(weight) for weight in saved])
    pairs = [([7, 8], [9, 10, 11]), ([7], []), ([5] * 20, [6] * 24)]
    assert nb.perplexity(network, pairs) == pytest.approx(nb.subwords.size, rel=1e-4)
    network.set_weights(saved)


@pytest.mark.parametrize("kind", ["bot", "transformer"])
def test_padding_and_what_comes_later_change_no_logits(nb, kind, request):
    network = request.getfixturevalue(kind)
    prompt, written = np.array([[7, 8, 9, 0, 0]]), np.array([[START, 5, 6, 77]])
    whole = ops.convert_to_numpy(network([prompt, written]))
    part = ops.convert_to_numpy(network([prompt[:, :3], written[:, :2]]))
    np.testing.assert_allclose(whole[:, :2], part, atol=1e-5)


def test_attention_is_a_share_of_what_is_there(bot):
    prompt = ops.convert_to_tensor(np.array([[7, 8, 9, 0, 0]], "int32"))
    written = ops.convert_to_tensor(np.array([[START, 5]], "int32"))
    *_, attention = bot.get_layer("decoder")([written, prompt, *bot.get_layer("encoder")(prompt)])
    attention = ops.convert_to_numpy(attention)
    np.testing.assert_allclose(attention.sum(axis=-1), 1, atol=1e-5)
    assert (attention[0, :, 3:] < 1e-6).all()


def test_ngrams_are_those_of_a_plain_count(nb, monkeypatch):
    monkeypatch.setattr(nb, "coded", {"train": [([], [5, 6]), ([], [5, 7])], "test": [([], [5, 6])]}, raising=False)
    found = nb.ngram_perplexities()
    size, counts = nb.subwords.size, {5: 2, 6: 1, 7: 1, END: 2}
    single = {token: (counts.get(token, 0) + 1) / (6 + size) for token in (5, 6, END)}
    assert found["unigram"] == pytest.approx(np.exp(-np.mean(np.log([single[token] for token in (5, 6, END)]))))
    double = [(2 + 1 * single[5]) / 3, (1 + 2 * single[6]) / 4, (1 + 1 * single[END]) / 2]
    assert found["bigram"] == pytest.approx(np.exp(-np.mean(np.log(double))))


@settings(deadline=None)
@given(share=st.floats(0.05, 1), temperature=st.floats(0.1, 3), seed=st.integers(0, 1000))
def test_top_p_draws_among_the_likeliest(nb, share, temperature, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(12), 5)
    drawn = nb.top_p(share, rng, temperature)(np.log(p))
    hot = p ** (1 / temperature)
    hot /= hot.sum(axis=1, keepdims=True)
    likelier = np.where(hot > hot[np.arange(5), drawn][:, None], hot, 0).sum(axis=1)
    assert (likelier < share).all()


def test_a_small_share_is_greedy_and_a_whole_one_draws_all(nb):
    log_p = np.log(np.tile([0.5, 0.3, 0.2], (3000, 1)))
    assert (nb.top_p(0.01, np.random.default_rng(0))(log_p) == nb.greedy(log_p)).all()
    drawn = nb.top_p(1.0, np.random.default_rng(0), temperature=1.0)(log_p)
    np.testing.assert_allclose(np.bincount(drawn) / 3000, [0.5, 0.3, 0.2], atol=0.04)


def test_padding_and_start_are_never_said(nb):
    log_p = nb.next_log_p(ops.zeros((2, 1, 10)))
    assert np.isneginf(log_p[:, [PAD, START]]).all()
    assert np.isfinite(log_p[:, END]).all()


def test_replies_alone_are_those_in_company(nb, bot):
    prompts = ["Hello!", "What is your favorite movie?", "🙂 ¿qué?"]
    for answer in (lambda some: nb.write(bot, some, nb.greedy), lambda some: nb.beam(bot, some, width=3)):
        assert answer(prompts) == [answer([each])[0] for each in prompts]


def test_a_beam_of_one_is_greedy(nb, bot):
    prompts = ["Hello!", "Do you like music?"]
    assert nb.beam(bot, prompts, width=1) == nb.write(bot, prompts, nb.greedy)


def test_transformer_writes_the_likeliest_of_its_logits(nb, transformer):
    reply = nb.write_whole(transformer, ["Hello!"], nb.greedy)[0]
    assert isinstance(reply, str)
    assert nb.write_whole(transformer, ["Hello!", "Why?"], nb.greedy)[0] == reply


@pytest.mark.parametrize("nothing", ["", "  \n", None, 3])
def test_nothing_to_answer_is_refused(nb, bot, nothing):
    for answer in (lambda some: nb.write(bot, some, nb.greedy), lambda some: nb.beam(bot, some)):
        with pytest.raises(ValueError, match="Say something"):
            answer(["Hello!", nothing])


def test_distinct_counts_different_ngrams(nb):
    assert nb.distinct(["a b a", "a b"], 1) == 2 / 5
    assert nb.distinct(["a b a", "a b"], 2) == 2 / 3
    assert nb.distinct([], 2) == 0
