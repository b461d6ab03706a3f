"""Small talk, what the model cannot answer, and stories."""

from training.corpus.item import Item, name, one_of, with_article, word
from training.corpus.vocabulary import ANIMALS, CITIES, COLORS, DAYS, FOODS, JOBS, MONTHS, WORDS

ABLE = (
    "I can do small sums, convert units, look things up in a text, write short code and tell short stories."
)

# (what users say, what the model replies)
SAYINGS = [
    (["Hello", "Hi", "Hello!", "Hi!", "Hi there", "Hey", "hello", "hi", "Good morning", "Good evening"],
     "Hello! How can I help you?"),
    (["Who are you?", "What are you?", "Tell me about yourself.", "What is your name?", "who are you",
      "Are you a human?", "What model are you?", "Are you ChatGPT?"],
     "I am v4-nano, a very small language model with the DeepSeek-V4 architecture."),
    (["How are you?", "How are you doing?", "How is it going?", "What's up?"],
     "I am fine, thank you. How can I help you?"),
    (["Thank you", "Thanks!", "Thanks a lot", "Thank you very much", "thanks"], "You are welcome!"),
    (["Bye", "Goodbye", "See you later", "Good night"], "Goodbye! Have a nice day."),
    (["What can you do?", "How can you help me?", "What are you good at?", "Help", "help"], ABLE),
    (["How large are you?", "How many parameters do you have?", "Are you big?"],
     "I am tiny: I have about eight million parameters, so I make mistakes."),
    (["Who made you?", "Who trained you?", "Where do you come from?"],
     "I was trained from scratch on synthetic conversations as a small test model."),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh."],
     "Why did the token cross the road? To get to the next position."),
    (["Are you intelligent?", "Are you smart?", "Do you know everything?"],
     "No, I only know a few simple things."),
    (["I am sad.", "I feel sad today.", "I had a bad day."],
     "I am sorry to hear that. I hope things get better soon."),
    (["I am happy!", "I feel great today."], "That is great to hear!"),
    (["What is the meaning of life?"],
     "That is a big question for a small model. Many people say it is to be kind."),
    (["Can you think?", "Do you have feelings?"], "I am a program. I predict text, one token at a time."),
    (["ok", "OK", "Okay", "I see", "Cool", "Nice", "Great!", "Yes", "No"], "What would you like to do next?"),
]  # fmt: skip

# Questions about what nobody told the model.
UNKNOWN = [
    *("Who won the football game yesterday?", "What is the weather like today?", "What is the latest news?"),
    *("What is the price of {w} stock?", "Who is the mayor of {c}?", "What did {n} eat for breakfast?"),
    *("What will happen in {c} tomorrow?", "Tell me the phone number of {n}.", "What is {n} thinking?"),
    *("How many people live in {c}?", "When was {n} born?", "How tall is {n}?", "Who is {n}?"),
    *("What is in the {w} of {n}?", "Who owns the {w} in {c}?", "Which song is number one in {c}?"),
]

# Requests of a kind that the model was never taught.
UNABLE = [
    *(
        "Write a poem about {w}.",
        "Write an essay about {c}.",
        "Translate {w} into French.",
        "Play chess with me.",
    ),
    *("Draw {w} for me.", "Write a song for {n}.", "Summarize the history of {c}.", "Plan a trip to {c}."),
    *(
        "Write a website about {w}.",
        "Explain quantum physics.",
        "Give me advice about my {w}.",
        "Book a hotel.",
    ),
    *(
        "Write a C++ program that simulates a {w}.",
        "Prove that there are infinitely many primes.",
        "Sing {w}.",
    ),
    *(
        "What should I cook with {w}?",
        "How do I repair a {w}?",
        "Recommend a book about {w}.",
        "Fix my code.",
    ),
    *("Write a letter to {n}.", "Explain {w} like I am five.", "Compare {c} and {w}.", "Invest my money."),
]


def saying(rng, held):
    said, reply = rng.choice(SAYINGS)
    return Item(rng.choice(said), reply)


def _filled(rng, held, templates):
    return one_of(rng, templates, w=word(rng, held), c=rng.choice(CITIES), n=name(rng, held))


def unknown(rng, held):
    question = _filled(rng, held, UNKNOWN)
    return Item(
        question, "I am sorry, I do not know that.", "do not know", "I have no information about this."
    )


def unable(rng, held):
    reply = "I am only a very small model and cannot do that. " + ABLE
    return Item(_filled(rng, held, UNABLE), reply, "cannot do that", "I was not taught to do this.")


def remembered(rng, held):
    """Something that the user said before."""
    who, color, animal, city = name(rng, held), rng.choice(COLORS), rng.choice(ANIMALS), rng.choice(CITIES)
    said, reply, question, answer, key = rng.choice(
        [
            (
                f"My name is {who}.",
                f"Nice to meet you, {who}!",
                "What is my name?",
                f"Your name is {who}.",
                who,
            ),
            (
                f"My favorite color is {color}.",
                f"{color.capitalize()} is a nice color!",
                "What is my favorite color?",
                f"Your favorite color is {color}.",
                color,
            ),
            (
                f"I have a {animal} called {who}.",
                f"{who} is a lovely name for a {animal}!",
                f"What is my {animal} called?",
                f"Your {animal} is called {who}.",
                who,
            ),
            (
                f"I live in {city}.",
                f"{city} is an interesting city.",
                "Where do I live?",
                f"You live in {city}.",
                city,
            ),
        ]
    )
    before = [dict(role="user", content=said), dict(role="assistant", content=reply)]
    return Item(question, answer, key, "The user told me earlier.", before=before)


def chat(rng, held):
    kinds = [saying, unknown, unable, remembered]
    return rng.choices(kinds, [45, 15, 15, 25])[0](rng, held)


OPENINGS = [
    *(
        "Once upon a time",
        "One {t} morning",
        "Long ago",
        "On a {t} day in {m}",
        "Last {d}",
        "Far away in {c}",
    ),
    "One evening in {m}",
]
MIDDLES = [
    *("{n} found {an} {col} {w} near the {v}.", "{n} met {o}, an old {j}, by the {v}."),
    *("{n} lost a {col} {w} in the {v}.", "it started to rain and the {v} was full of water."),
]
SENTENCES = [
    *("{n} was {f} but did not give up.", '{o} said, "Take the {w} to the {v}."'),
    *("Together they carried the {w} to the {v}.", "They looked behind the {v} and under the {w}."),
    *('"What a {col} {w}!" said {n}.', "{n} shared some {food} with the {an2}."),
    *("The {an2} slept next to the {w} all night.", "They walked for {k} days and saw many {w2}s."),
]
ENDINGS = [
    *("In the end {n} went home {f2}.", "From that day on {n} and {o} were friends."),
    *("And the {w} was never seen again.", "{n} smiled and kept the {w} forever."),
    "That night everyone ate {food} and laughed.",
]


def story(rng, held):
    hero, other = name(rng, held), name(rng, False)
    thing, place, seen = rng.sample(WORDS, 3)
    color = rng.choice(COLORS)
    asks = ["Tell me a short story about {x}.", "Write a story with {x}.", "I want a story about {x}."]
    about = f"{hero} and {with_article(thing)}"
    sentences = [rng.choice(OPENINGS) + ", " + rng.choice(MIDDLES)]
    sentences += rng.sample(SENTENCES, rng.choice([1, 1, 2, 2, 3, 5])) + [rng.choice(ENDINGS)]
    text = " ".join(sentences).format(
        n=hero,
        o=other,
        w=thing,
        v=place,
        w2=seen,
        an="an" if color[0] in "aeiou" else "a",
        an2=rng.choice(ANIMALS),
        col=color,
        j=rng.choice(JOBS),
        f=rng.choice(["afraid", "tired", "sad", "worried"]),
        f2=rng.choice(["happy", "proud", "late", "smiling"]),
        food=rng.choice(FOODS),
        k=rng.randint(2, 9),
        t=rng.choice(["cold", "warm", "sunny", "rainy", "quiet"]),
        m=rng.choice(MONTHS),
        d=rng.choice(DAYS),
        c=rng.choice(CITIES),
    )
    return Item(one_of(rng, asks, x=about), text, hero, f"A short story about {about}.")
