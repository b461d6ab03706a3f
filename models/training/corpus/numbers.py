"""Sums, word problems, comparisons and units. Reasoning works digit by digit, from the last one."""

from training.corpus.item import Item, name, one_of, until
from training.corpus.vocabulary import WORDS


def add_steps(a, b):
    steps, carry = [], 0
    width = max(len(str(a)), len(str(b)))
    for x, y in zip(reversed(str(a).zfill(width)), reversed(str(b).zfill(width))):
        digit = int(x) + int(y) + carry
        added = f"+{carry}" if carry else ""
        carries = ", carry 1" if digit > 9 else ""
        steps.append(f"{x}+{y}{added}={digit}, write {digit % 10}{carries}.")
        carry = digit // 10
    return " ".join(steps) + f" So {a}+{b}={a + b}."


def subtract_steps(a, b):
    steps, borrow = [], 0
    for x, y in zip(reversed(str(a)), reversed(str(b).zfill(len(str(a))))):
        x, y = int(x), int(y) + borrow
        borrow = int(x < y)
        x += 10 * borrow
        steps.append(f"{x}-{y}={x - y}" + (", borrow 1." if borrow else "."))
    return " ".join(steps) + f" So {a}-{b}={a - b}."


def multiply_steps(a, b):
    steps, carry = [], 0
    for x in reversed(str(a)):
        value = int(x) * b + carry
        added = f"+{carry}" if carry else ""
        carries = f", carry {value // 10}" if value > 9 else ""
        steps.append(f"{x}*{b}{added}={value}, write {value % 10}{carries}.")
        carry = value // 10
    return " ".join(steps) + f" So {a}*{b}={a * b}."


def divide_steps(a, b):
    return f"{b}*{a // b}={a}. So {a}/{b}={a // b}."


STEPS = {"+": add_steps, "-": subtract_steps, "*": multiply_steps, "/": divide_steps}
RESULTS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
}


def operands(rng, held, operator):
    """Two numbers of mixed size for which the result is a whole number from 0 up."""
    limit = rng.choice([10, 10, 20, 100, 100, 100, 1000])
    if operator == "/":
        divisor, result = until(rng, held, lambda: (rng.randint(2, 9), rng.randint(2, 12)), "/")
        return divisor * result, divisor
    if operator == "*":
        ranges = [(2, 12), (2, 12), (13, 99)]
        return until(rng, held, lambda: (rng.randint(*rng.choice(ranges)), rng.randint(2, 9)), "*")
    pair = lambda: (rng.randint(0, limit), rng.randint(0, limit))
    if operator == "-":
        return until(rng, held, lambda: tuple(sorted(pair(), reverse=True)), "-")
    return until(rng, held, pair, "+")


def check(a, b, operator):
    """The sum the other way round."""
    result = RESULTS[operator](a, b)
    opposite = {"+": f"{result}-{b}={a}", "-": f"{result}+{b}={a}", "*": f"{result}/{b}={a}"}
    return f"Check: {opposite.get(operator, f'{result}*{b}={a}')}, which is right."


SUM_QUESTIONS = [
    *("What is {e}?", "Calculate {e}.", "Compute {e}.", "{e} = ?", "How much is {e}?", "{e}"),
    *("Please work out {e}.", "Solve {e}.", "Can you tell me {e}?", "I need the result of {e}."),
]


def arithmetic(rng, held):
    operator = rng.choice("++--*/")
    a, b = operands(rng, held, operator)
    expression = f"{a} {operator} {b}" if rng.random() < 0.7 else f"{a}{operator}{b}"
    if rng.random() < 0.12:
        spoken = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[operator]
        expression = f"{a} {spoken} {b}"
    result = RESULTS[operator](a, b)
    return Item(
        one_of(rng, SUM_QUESTIONS, e=expression),
        f"{a} {operator} {b} = {result}",
        str(result),
        STEPS[operator](a, b),
        needs_thinking=a > 20 or b > 20 or (operator == "*" and a > 12),
        check=check(a, b, operator),
    )


def word_problem(rng, held):
    who, things = name(rng, held), rng.choice(WORDS) + "s"
    a, b = until(rng, held, lambda: (rng.randint(2, 60), rng.randint(2, 40)), "sm")
    operator = rng.choice("+-*/")
    if operator == "-":
        a, b = max(a, b), min(a, b)
    elif operator == "*":
        b = 2 + b % 8
    elif operator == "/":
        b = 2 + b % 8
        a = b * (2 + a % 10)
    question, start = {
        "+": (
            f"{who} has {a} {things} and buys {b} more. How many {things} does {who} have now?",
            f"{who} starts with {a} and gets {b} more. ",
        ),
        "-": (
            f"{who} has {a} {things} and gives away {b}. How many {things} are left?",
            f"{who} starts with {a} and loses {b}. ",
        ),
        "*": (
            f"There are {a} boxes with {b} {things} each. How many {things} are there in total?",
            f"{a} boxes of {b}. ",
        ),
        "/": (
            f"{who} shares {a} {things} equally among {b} friends. How many {things} does each friend get?",
            "",
        ),
    }[operator]
    result = str(RESULTS[operator](a, b))
    reasoning = start + STEPS[operator](a, b)
    return Item(
        question,
        f"The answer is {result}.",
        result,
        reasoning,
        needs_thinking=True,
        check=check(a, b, operator),
    )


def larger(rng, held, limit):
    a, b = until(rng, held, lambda: rng.sample(range(limit + 1), 2), "cmp")
    which = rng.choice(["larger", "bigger", "smaller"])
    result = min(a, b) if which == "smaller" else max(a, b)
    questions = ["Which is {w}, {a} or {b}?", "Which number is {w}: {a} or {b}?"]
    reasoning = f"Compare {a} and {b}. {max(a, b)} is greater than {min(a, b)}."
    return Item(one_of(rng, questions, w=which, a=a, b=b), f"{result} is {which}.", str(result), reasoning)


def even(rng, held, limit):
    a = until(rng, held, lambda: rng.randint(0, limit), "eo")
    kind = "odd" if a % 2 else "even"
    reasoning = f"The last digit of {a} is {a % 10}, which is {kind}."
    return Item(f"Is {a} even or odd?", f"{a} is {kind}.", kind, reasoning)


def _numbers(rng, held, limit):
    return until(rng, held, lambda: [rng.randint(0, limit) for _ in range(rng.randint(3, 6))], "mm")


def extreme(rng, held, limit):
    numbers = _numbers(rng, held, limit)
    which = rng.choice(["largest", "smallest"])
    result = max(numbers) if which == "largest" else min(numbers)
    questions = ["What is the {w} number in {l}?", "Find the {w} of these numbers: {l}"]
    question = one_of(rng, questions, w=which, l=", ".join(map(str, numbers)))
    return Item(question, f"The {which} number is {result}.", str(result))


def following(rng, held, limit):
    first, step = until(rng, held, lambda: (rng.randint(0, 30), rng.randint(1, 12)), "seq")
    shown = [first + i * step for i in range(4)]
    result = shown[-1] + step
    question = f"What comes next: {', '.join(map(str, shown))}, ...?"
    reasoning = f"The step is {step}. {shown[-1]}+{step}={result}."
    return Item(question, f"The next number is {result}.", str(result), reasoning)


def sorted_numbers(rng, held, limit):
    numbers = _numbers(rng, held, limit)
    questions = ["Sort these numbers: {l}", "Put these numbers in order: {l}"]
    question = one_of(rng, questions, l=", ".join(map(str, numbers)))
    return Item(question, ", ".join(map(str, sorted(numbers))))


def compare(rng, held):
    kind = rng.choice([larger, even, extreme, following, sorted_numbers])
    return kind(rng, held, rng.choice([20, 20, 100]))


# Many -> (one, in, how many)
UNITS = {
    "kilometers": ("1 kilometer", "meters", 1000),
    "meters": ("1 meter", "centimeters", 100),
    "centimeters": ("1 centimeter", "millimeters", 10),
    "kilograms": ("1 kilogram", "grams", 1000),
    "hours": ("1 hour", "minutes", 60),
    "minutes": ("1 minute", "seconds", 60),
    "days": ("1 day", "hours", 24),
    "weeks": ("1 week", "days", 7),
    "liters": ("1 liter", "milliliters", 1000),
    "years": ("1 year", "months", 12),
    "feet": ("1 foot", "inches", 12),
    "yards": ("1 yard", "feet", 3),
    "tons": ("1 ton", "kilograms", 1000),
    "dollars": ("1 dollar", "cents", 100),
    "dozen": ("1 dozen", "pieces", 12),
    "decades": ("1 decade", "years", 10),
    "centuries": ("1 century", "years", 100),
}


def units(rng, held):
    def draw():
        many = rng.choice(list(UNITS))
        is_power_of_ten = UNITS[many][2] in (10, 100, 1000)
        return many, rng.randint(1, 50 if is_power_of_ten else 12)

    many, count = until(rng, held, draw, "u")
    one, other, factor = UNITS[many]
    questions = [
        *("How many {v} are in {n} {u}?", "Convert {n} {u} to {v}."),
        *("What is {n} {u} in {v}?", "{n} {u} is how many {v}?"),
    ]
    result = count * factor
    reasoning = f"{one} is {factor} {other}. {count}*{factor}={result}."
    question = one_of(rng, questions, v=other, n=count, u=many)
    return Item(question, f"{count} {many} = {result} {other}", str(result), reasoning)
