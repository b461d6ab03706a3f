"""Spelling, lists of words, and exact copies."""

from training.corpus.item import Item, invented, one_of, several, until, word
from training.corpus.vocabulary import WORDS

ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]


def reversed_word(rng, w):
    questions = ['Reverse the word "{w}".', 'Spell "{w}" backwards.', "Write {w} in reverse."]
    return Item(one_of(rng, questions, w=w), w[::-1], think=f"{' '.join(w)} -> {' '.join(w[::-1])}")


def counted_letters(rng, w):
    questions = ['How many letters are in "{w}"?', "Count the letters in {w}."]
    reasoning = " ".join(f"{c}={i + 1}" for i, c in enumerate(w))
    return Item(one_of(rng, questions, w=w), f'"{w}" has {len(w)} letters.', str(len(w)), reasoning)


def spelled(rng, w):
    questions = ['Spell the word "{w}".', "How do you spell {w}?"]
    return Item(one_of(rng, questions, w=w), "-".join(w), think=" ".join(w))


def occurrences(rng, w):
    letter = rng.choice(w)
    count = w.count(letter)
    questions = ['How many times does the letter "{c}" appear in "{w}"?', 'How many "{c}" are in {w}?']
    answer = f'The letter "{letter}" appears {count} time{"s" if count > 1 else ""}.'
    reasoning = " ".join(c + ("+" if c == letter else "") for c in w) + f" -> {count}"
    return Item(one_of(rng, questions, c=letter, w=w), answer, str(count), reasoning)


def end_letter(rng, w):
    which, letter = rng.choice([("first", w[0]), ("last", w[-1])])
    answer = f'The {which} letter of "{w}" is "{letter}".'
    return Item(f'What is the {which} letter of "{w}"?', answer, f'"{letter}"', " ".join(w))


def capitals(rng, w):
    questions = ['Write "{w}" in capital letters.', "Make {w} uppercase."]
    return Item(one_of(rng, questions, w=w), w.upper(), think=" ".join(w))


def vowels(rng, w):
    return Item(f'Which vowels are in "{w}"?', ", ".join(c for c in w if c in "aeiou"), think=" ".join(w))


LETTER_KINDS = [reversed_word, counted_letters, spelled, occurrences, end_letter, capitals, vowels]


def letters(rng, held):
    def draw():
        chosen = invented(rng) if rng.random() < 0.3 else rng.choice(WORDS)
        return chosen, rng.randrange(len(LETTER_KINDS))

    chosen, kind = until(rng, held, draw, "let")
    return LETTER_KINDS[kind](rng, chosen)


def sorted_list(rng, words, listed):
    questions = ["Sort these words alphabetically: {l}", "Put these words in alphabetical order: {l}"]
    return Item(one_of(rng, questions, l=listed), ", ".join(sorted(words)))


def reversed_list(rng, words, listed):
    questions = ["Reverse this list: {l}", "Write this list backwards: {l}"]
    return Item(one_of(rng, questions, l=listed), ", ".join(words[::-1]))


def counted_list(rng, words, listed):
    questions = ["How many words are in this list: {l}?", "Count the items: {l}"]
    reasoning = " ".join(f"{w}={i + 1}" for i, w in enumerate(words))
    answer = f"There are {len(words)} items."
    return Item(one_of(rng, questions, l=listed), answer, str(len(words)), reasoning)


def nth_of_list(rng, words, listed):
    i = rng.randrange(len(words))
    question = f"What is the {ORDINALS[i]} word in this list: {listed}?"
    return Item(question, f"The {ORDINALS[i]} word is {words[i]}.", words[i])


def without_one(rng, words, listed):
    gone = rng.choice(words)
    return Item(f"Remove {gone} from this list: {listed}", ", ".join(w for w in words if w != gone))


def numbered_list(rng, words, listed):
    return Item(f"Make a numbered list: {listed}", "\n".join(f"{i + 1}. {w}" for i, w in enumerate(words)))


def lists(rng, held):
    words = several(rng, word, rng.randint(3, 6), held)
    kinds = [sorted_list, reversed_list, counted_list, nth_of_list, without_one, numbered_list]
    return rng.choice(kinds)(rng, words, ", ".join(words))


def _text_to_copy(rng, held):
    kind = rng.randrange(3)
    if kind == 0:
        return " ".join(several(rng, word, rng.randint(3, 14), held))
    if kind == 1:
        digits = lambda: "".join(rng.choice("0123456789") for _ in range(rng.randint(4, 16)))
        return until(rng, held, digits, "cp")
    group = lambda: "".join(rng.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(4))
    return until(rng, held, lambda: "-".join(group() for _ in range(rng.randint(1, 4))), "cp")


def copy(rng, held):
    text = _text_to_copy(rng, held)
    questions = [
        *("Repeat after me: {s}", "Copy this exactly: {s}", 'Say "{s}".'),
        *("Write this text again: {s}", "Echo: {s}"),
    ]
    return Item(one_of(rng, questions, s=text), text, think="The user wants an exact copy.")
