"""Python, SQL, JSON, JSON by a schema, and text to be filled in."""

import json

from training.corpus.item import Item, name, one_of, until
from training.corpus.vocabulary import CITIES, HOBBIES, JOBS, WORDS

IS_PRIME = """if n < 2:
        return False
    for d in range(2, int(n ** 0.5) + 1):
        if n % d == 0:
            return False
    return True"""

# (what it does, name, argument, body)
FUNCTIONS = [
    ("returns the sum of a list", "total", "xs", "return sum(xs)"),
    ("returns the largest item of a list", "largest", "xs", "return max(xs)"),
    ("returns the smallest item of a list", "smallest", "xs", "return min(xs)"),
    ("reverses a string", "reverse", "s", "return s[::-1]"),
    ("checks if a number is even", "is_even", "n", "return n % 2 == 0"),
    ("checks if a number is odd", "is_odd", "n", "return n % 2 == 1"),
    ("returns the length of a string", "length", "s", "return len(s)"),
    ("squares a number", "square", "x", "return x * x"),
    ("converts a string to uppercase", "upper", "s", "return s.upper()"),
    ("sorts a list", "sort_list", "xs", "return sorted(xs)"),
    ("returns the average of a list", "average", "xs", "return sum(xs) / len(xs)"),
    ("checks if a string is a palindrome", "is_palindrome", "s", "return s == s[::-1]"),
    ("returns the first item of a list", "first", "xs", "return xs[0]"),
    ("returns the last item of a list", "last", "xs", "return xs[-1]"),
    ("splits a string into words", "words", "s", "return s.split()"),
    ("returns the absolute value of a number", "absolute", "x", "return -x if x < 0 else x"),
    ("removes duplicates from a list", "unique", "xs", "return list(dict.fromkeys(xs))"),
    ("counts the vowels in a string", "count_vowels", "s", 'return sum(c in "aeiou" for c in s)'),
    ("greets a person by name", "greet", "name", 'return "Hello, " + name + "!"'),
    ("checks if a number is prime", "is_prime", "n", IS_PRIME),
    (
        "computes the factorial of a number",
        "factorial",
        "n",
        "if n <= 1:\n        return 1\n    return n * factorial(n - 1)",
    ),
    (
        "computes the nth Fibonacci number",
        "fib",
        "n",
        "a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
    ),
]


def _fenced(code):
    return f"```python\n{code}\n```"


def known_function(rng, held):
    what, called, argument, body = rng.choice(FUNCTIONS)
    asks = [
        *("Write a Python function that {d}.", "Python function that {d}, please."),
        *("How do I write a function in Python that {d}?", "Give me a Python function which {d}."),
    ]
    question = one_of(rng, ["Show me Python code that {d}."] if held else asks, d=what)
    code = f"def {called}({argument}):\n    {body}"
    return Item(question, _fenced(code), code, f"I need a function {called} with one argument {argument}.")


def number_function(rng, held):
    operator, called, what = rng.choice(
        [
            ("+", "add", "adds {n} to a number"),
            ("*", "times", "multiplies a number by {n}"),
            ("-", "minus", "subtracts {n} from a number"),
        ]
    )
    n = until(rng, held, lambda: rng.randint(2, 99), "py", operator)
    asks = ["Write a Python function that {d}.", "Give me a Python function which {d}."]
    body = f"return x {operator} {n}"
    code = f"def {called}_{n}(x):\n    {body}"
    reasoning = f"I need a function {called}_{n} with one argument x."
    return Item(one_of(rng, asks, d=what.format(n=n)), _fenced(code), body, reasoning)


def printed_sum(rng, held):
    a, b = rng.randint(0, 9), rng.randint(1, 9)
    question = "What does this print?\n" + _fenced(f"x = {a}\ny = {b}\nprint(x + y)")
    reasoning = f"x is {a} and y is {b}. {a}+{b}={a + b}."
    return Item(question, f"It prints {a + b}.", str(a + b), reasoning)


def loop(rng, held):
    n = until(rng, held, lambda: rng.randint(2, 30), "loop")
    question = f"Write a Python loop that prints the numbers from 0 to {n - 1}."
    code = _fenced(f"for i in range({n}):\n    print(i)")
    return Item(question, code, f"range({n})", f"range({n}) goes from 0 to {n - 1}.")


def python(rng, held):
    kinds = [known_function] * 4 + [number_function] * 2 + [printed_sum, loop]
    return rng.choice(kinds)(rng, held)


# Table -> (columns with numbers, other columns)
TABLES = {
    "users": (["id", "age"], ["name", "city", "email"]),
    "orders": (["id", "price", "total"], ["date", "status"]),
    "products": (["id", "price", "stock"], ["name"]),
    "books": (["id", "year"], ["title", "author"]),
    "employees": (["id", "salary"], ["name", "team"]),
    "movies": (["id", "year", "rating"], ["title"]),
}


def sql(rng, held):
    t = rng.choice(list(TABLES))
    numbers, others = TABLES[t]
    c, x = rng.choice(numbers + others), rng.choice(numbers)
    n = until(rng, held, lambda: rng.randint(1, 500), "sql")
    row = n % 90 + 1
    what, query = rng.choice(
        [
            (
                f"selects {c} from {t} where {x} is greater than {n}",
                f"SELECT {c} FROM {t} WHERE {x} > {n};",
            ),
            (
                f"selects everything from {t} where {x} is less than {n}",
                f"SELECT * FROM {t} WHERE {x} < {n};",
            ),
            (f"counts the rows of {t} where {x} equals {n}", f"SELECT COUNT(*) FROM {t} WHERE {x} = {n};"),
            (
                f"selects {c} from {t} ordered by {x} with a limit of {n}",
                f"SELECT {c} FROM {t} ORDER BY {x} LIMIT {n};",
            ),
            (f"deletes rows from {t} where {x} equals {n}", f"DELETE FROM {t} WHERE {x} = {n};"),
            (f"sets {x} to {n} in {t} for id {row}", f"UPDATE {t} SET {x} = {n} WHERE id = {row};"),
        ]
    )
    asks = ["Write a SQL query that {q}.", "Give me SQL that {q}.", "SQL: a query that {q}"]
    return Item(one_of(rng, asks, q=what), query, think=f"The table is {t}.")


def _record(rng, held):
    """-> (sentence, what it says as an object)"""
    who = name(rng, held)
    age = until(rng, held, lambda: rng.randint(18, 90), "jage", who)
    city, job, hobby = rng.choice(CITIES), rng.choice(JOBS), rng.choice(HOBBIES)
    item, count, price = rng.choice(WORDS), rng.randint(2, 20), rng.randint(1, 200)
    return rng.choice(
        [
            (f"{who} is {age} years old and lives in {city}.", dict(name=who, age=age, city=city)),
            (f"{who} works as a {job} in {city}.", dict(name=who, job=job, city=city)),
            (f"{who}, a {age} year old {job}, likes {hobby}.", dict(name=who, age=age, job=job, hobby=hobby)),
            (
                f"{who} ordered {count} {item}s for {price} dollars.",
                dict(name=who, item=item, count=count, price=price),
            ),
        ]
    )


def json_object(rng, held):
    sentence, value = _record(rng, held)
    keys = ", ".join(value)
    asks = [
        *("Extract {k} as JSON: {s}", "Turn this into JSON with the keys {k}: {s}"),
        "{s}\nGive me JSON with {k}.",
    ]
    item = Item(one_of(rng, asks, k=keys, s=sentence), json.dumps(value), think=f"The keys are {keys}.")
    if rng.random() < 0.25:
        item.system = rng.choice(["Reply only with JSON.", "Answer in JSON."])
    return item


def json_by_schema(rng, held):
    """The schema stands in the system message, as the server writes a response format."""
    sentence, value = _record(rng, held)
    wanted = rng.sample(list(value), rng.randint(2, len(value)))
    types = {key: {"type": "integer" if isinstance(value[key], int) else "string"} for key in wanted}
    asks = ["{s}", "Extract the data: {s}", "Fill in the schema: {s}"]
    answer = json.dumps({key: value[key] for key in wanted})
    item = Item(one_of(rng, asks, s=sentence), answer, think=f"The keys are {', '.join(wanted)}.")
    item.schema = dict(type="object", properties=types, required=wanted)
    return item


def fill_in(rng, held):
    """A function of which one line is missing -> (before, after, missing)"""
    if rng.random() < 0.5:
        _, called, argument, body = rng.choice(FUNCTIONS)
        lines = f"def {called}({argument}):\n    {body}\n".splitlines(True)
    else:
        n = until(rng, held, lambda: rng.randint(2, 30), "loop")
        lines = [f"for i in range({n}):\n", "    print(i)\n", f"print({n})\n"]
    gap = rng.randrange(1, len(lines))
    return "".join(lines[:gap]), "".join(lines[gap + 1 :]), lines[gap]
