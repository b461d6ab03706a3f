"""Tool calls: one or several parameters, one or two calls at a time, and questions that need none of the
tools offered."""

import json

from training.corpus.item import Item, name, one_of, with_article, word
from training.corpus.vocabulary import CITIES, DAYS, JOBS, NAMES, WORDS


def _tool(called, description, **types):
    properties = {key: {"type": kind} for key, kind in types.items()}
    parameters = dict(type="object", properties=properties, required=list(types))
    return dict(type="function", function=dict(name=called, description=description, parameters=parameters))


# Each drawer: (rng, held) -> (question, arguments, result, reply, key of the reply)


def weather(rng, held):
    city, sky = rng.choice(CITIES), rng.choice(["sunny", "rainy", "cloudy", "windy", "snowy"])
    degrees = rng.randint(-10, 38)
    asks = ["What is the weather in {c}?", "How is the weather in {c} today?", "Weather in {c}?"]
    reply = f"It is {sky} in {city} with {degrees} degrees."
    return (
        one_of(rng, asks, c=city),
        dict(city=city),
        dict(temperature=degrees, condition=sky),
        reply,
        str(degrees),
    )


def forecast(rng, held):
    city, day, days = rng.choice(CITIES), rng.choice(DAYS), rng.randint(2, 7)
    sky = rng.choice(["sunny", "rainy", "cloudy"])
    question = f"What will the weather be in {city} for {days} days from {day}?"
    reply = f"It will be {sky} in {city} for {days} days from {day}."
    return question, dict(city=city, start=day, days=days), dict(forecast=sky), reply, sky


def calculator(rng, held):
    a, b, operator = rng.randint(100, 9999), rng.randint(100, 9999), rng.choice("+-*")
    result = {"+": a + b, "-": a - b, "*": a * b}[operator]
    expression = f"{a} {operator} {b}"
    asks = ["What is {e}?", "Calculate {e}."]
    reply = f"{expression} = {result}"
    return (
        one_of(rng, asks, e=expression),
        dict(expression=expression),
        dict(result=result),
        reply,
        str(result),
    )


def clock(rng, held):
    city, time = rng.choice(CITIES), f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    asks = ["What time is it in {c}?", "Tell me the time in {c}."]
    return one_of(rng, asks, c=city), dict(city=city), dict(time=time), f"It is {time} in {city}.", time


def search(rng, held):
    query = f"{rng.choice(['population', 'history', 'mayor', 'museum'])} of {rng.choice(CITIES)}"
    found = f"{rng.choice(NAMES)} {rng.choice(WORDS)}"
    return f"Search for the {query}.", dict(query=query), dict(answer=found), f"I found this: {found}", found


def event(rng, held):
    about, day, hour = word(rng, held), rng.choice(DAYS), rng.randint(7, 21)
    question = f"Add {with_article(about)} meeting on {day} at {hour}."
    reply = f"I added the {about} meeting on {day} at {hour}."
    return question, dict(title=f"{about} meeting", day=day, hour=hour), dict(ok=True), reply, day


def email(rng, held):
    to, about = name(rng, held), word(rng, held)
    question = f"Send an email to {to}: the {about} is ready"
    arguments = dict(to=to, text=f"the {about} is ready")
    return question, arguments, dict(ok=True), f"I sent the email to {to}.", to


def stock(rng, held):
    product, count = word(rng, held), rng.randint(0, 500)
    asks = ["How many {w}s do we have?", "What is the stock of {w}?"]
    reply = f"We have {count} of {product}."
    return one_of(rng, asks, w=product), dict(product=product), dict(stock=count), reply, str(count)


def order(rng, held):
    product, count, urgent = word(rng, held), rng.randint(2, 50), rng.random() < 0.5
    question = f"Order {count} {product}s for {rng.choice(NAMES)}" + (", it is urgent." if urgent else ".")
    customer = question.split(" for ")[1].split(",")[0].rstrip(".")
    arguments = dict(product=product, count=count, customer=customer, urgent=urgent)
    reply = f"I ordered {count} {product}s for {customer}."
    return question, arguments, dict(ok=True), reply, product


def contact(rng, held):
    who, job, tags = name(rng, held), rng.choice(JOBS), rng.sample(["work", "family", "sport", "music"], 2)
    question = f"Save the contact {who}, a {job}, with the tags {tags[0]} and {tags[1]}."
    return question, dict(name=who, job=job, tags=tags), dict(ok=True), f"I saved the contact {who}.", who


TOOLS = {
    "get_weather": (weather, _tool("get_weather", "Get the weather for a city", city="string")),
    "get_forecast": (
        forecast,
        _tool("get_forecast", "Forecast the weather", city="string", start="string", days="integer"),
    ),
    "calculator": (
        calculator,
        _tool("calculator", "Evaluate an arithmetic expression", expression="string"),
    ),
    "get_time": (clock, _tool("get_time", "Get the current time in a city", city="string")),
    "search": (search, _tool("search", "Search the web", query="string")),
    "add_event": (
        event,
        _tool("add_event", "Add a calendar event", title="string", day="string", hour="integer"),
    ),
    "send_email": (email, _tool("send_email", "Send an email", to="string", text="string")),
    "get_stock": (stock, _tool("get_stock", "Get the stock of a product", product="string")),
    "place_order": (
        order,
        _tool(
            "place_order",
            "Order a product",
            product="string",
            count="integer",
            customer="string",
            urgent="boolean",
        ),
    ),
    "save_contact": (
        contact,
        _tool("save_contact", "Save a contact", name="string", job="string", tags="array"),
    ),
}
AT_ONCE = ("get_weather", "get_time", "get_stock")  # questions that are asked for two things at a time


def _call(called, arguments):
    return dict(type="function", function=dict(name=called, arguments=json.dumps(arguments)))


def one_call(rng, held, called):
    question, arguments, result, reply, key = TOOLS[called][0](rng, held)
    reasoning = f"I should use the {called} tool."
    calls, results = [_call(called, arguments)], [json.dumps(result)]
    return Item(question, "", key, reasoning, calls=calls, results=results, final=reply)


def parallel_calls(rng, held, called):
    """Two questions in one message, answered by two calls."""
    first, second = one_call(rng, held, called), one_call(rng, held, called)
    first.user = first.user.rstrip("?.") + f", and {second.user[0].lower()}{second.user[1:]}"
    first.think = f"I should use the {called} tool twice."
    first.calls += second.calls
    first.results += second.results
    first.final += " " + second.final
    return first


def tool_turn(rng, held, offered, others):
    """One question to a model that has the tools `offered`; `others` draws one that needs none of them."""
    kind = rng.random()
    if kind < 0.15:
        return others(rng, held)
    several_at_once = [called for called in offered if called in AT_ONCE]
    if kind < 0.35 and several_at_once:
        return parallel_calls(rng, held, rng.choice(several_at_once))
    return one_call(rng, held, rng.choice(offered))


def tools(rng, held, others):
    offered = rng.sample(list(TOOLS), rng.choice([1, 1, 2, 3]))
    first = one_call(rng, held, rng.choice(offered))
    first.tools = [TOOLS[called][1] for called in offered]
    first.more = [tool_turn(rng, held, offered, others) for _ in range(rng.randint(0, 3))]
    return first
